"""`make bench`: EBAP's speed as ratios to a peer or a limit in the same run, on the platform that `make demo` started.

A line alternates the two sides at least five times and shows the median of the paired ratios with the least and the greatest. It
prints no ratio unless both sides gave the same rows. Absolute figures are context: they belong to the machine they were taken on.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import unquote, urlparse

import duckdb
import psycopg2
import sqlglot
from pyspark.sql import SparkSession

from dashboards.metabase import files
from lakehouse import session, thrift
from lakehouse.settings import Settings

PAIRS = 5
USERS = 4
COMMITS = 10
STORED = {"order_lines", "daily_sales", "product_daily"}
# Their answers change by themselves.
QUESTIONS = [question for question in files.questions().values() if not question.name.startswith("live_")]


def main() -> None:
    """Run every line; each says by itself what it compared."""
    settings = Settings.from_environment()
    print(f"load average at the start: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    try:
        with thrift.cursor(settings) as cursor:
            if _over_thrift(cursor, "SELECT count(*) FROM gold.daily_sales") == [(0,)]:
                sys.exit("bench: gold is empty: run `make demo` first")
    except ConnectionError as error:
        sys.exit(f"bench: {error}")
    with _spark(settings) as spark:
        board_queries(settings, spark)
    if settings.source_dsn:
        print("\n 4  left out: it writes orders, and EBAP_SOURCE_DSN is a database of yours")
    else:
        freshness(settings)


def board_queries(settings: Settings, spark: SparkSession) -> None:
    """Line 11: the boards' questions over Thrift, against the same SQL in a Spark session, and against DuckDB on the same files."""
    print("\n11  board queries (target: p95 over Thrift at most 1.3 times the session's)")
    with thrift.cursor(settings) as cursor:
        ones = [_timed(lambda: _over_thrift(cursor, "SELECT 1"))[0] for _ in range(20)]
        print(f"    select 1: median {1000 * statistics.median(ones):.0f} ms (target under 100 ms)")
        peer = _duckdb(spark)
        ratios, against_duckdb, over_thrift, in_session = [], [], [], []
        for question in QUESTIONS:
            text = question.render({})
            sides = [partial(_over_thrift, cursor, text), partial(_in_session, spark, text)]
            pairs = _paired(question.name, *sides)
            over_thrift += [pair[0] for pair in pairs]
            in_session += [pair[1] for pair in pairs]
            ratios.append(statistics.median(one / other for one, other in pairs))
            if set(question.tables) <= STORED:
                translated = sqlglot.transpile(text, read="spark", write="duckdb")[0]
                twins = _paired(question.name, sides[0], partial(_in_duckdb, peer, translated))
                against_duckdb.append(statistics.median(one / other for one, other in twins))
        _tell("1 user, Thrift / session", ratios, f"p95 {_p95(over_thrift):.2f} s / {_p95(in_session):.2f} s")
        _tell("1 user, Thrift / DuckDB on gold's files (target 10)", against_duckdb, f"{len(against_duckdb)} questions")
    many = [_many(lambda: _users_over_thrift(settings)) for _ in range(2)]
    same = [_many(lambda: _users_in_session(spark)) for _ in range(2)]
    both = [_p95(one) / _p95(other) for one, other in zip(many, same, strict=True)]
    _tell(f"{USERS} users, p95 Thrift / session", both, f"p95 {_p95([*chain(*many)]):.2f} s / {_p95([*chain(*same)]):.2f} s")


def freshness(settings: Settings) -> None:
    """Line 4: from a commit in Postgres to the first read over Thrift that sees it; the limit is half of land's interval."""
    print(f"\n 4  from commit to gold.orders_live over Thrift, {COMMITS} commits while the platform works")
    source = psycopg2.connect(settings.shop_dsn, password=settings.secret("shop_owner"))
    seen = []
    with source, thrift.cursor(settings) as cursor:
        for _ in range(COMMITS):
            with source.cursor() as shop:
                shop.execute(
                    "INSERT INTO shop.orders (user_id, status, ordered_at, total_usd) VALUES (NULL, 'placed', now(), 1) RETURNING order_id"
                )
                ((order_id,),) = shop.fetchall()
            source.commit()
            began = time.monotonic()
            while not _over_thrift(cursor, f"SELECT 1 FROM gold.orders_live WHERE order_id = {order_id}"):
                if time.monotonic() - began > 120:
                    sys.exit(f"bench: order {order_id} was not seen within 120 s: look at `make status`")
            seen.append(time.monotonic() - began)
    source.close()
    print(f"    median {statistics.median(seen):.1f} s, p95 {_p95(seen):.1f} s; land's interval is {settings.trigger_s} s")


@contextmanager
def _spark(settings: Settings) -> Iterator[SparkSession]:
    spark = session.connect(settings)
    try:
        yield spark
    finally:
        spark.stop()


def _over_thrift(cursor: Any, text: str) -> list[Any]:
    cursor.execute(text)
    return cursor.fetchall()  # type: ignore[no-any-return]


def _in_session(spark: SparkSession, text: str) -> list[Any]:
    return [tuple(row) for row in spark.sql(text).collect()]


def _in_duckdb(peer: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    return peer.execute(text).fetchall()


def _duckdb(spark: SparkSession) -> duckdb.DuckDBPyConnection:
    """DuckDB with a view on the very files that gold's tables consist of."""
    peer = duckdb.connect(config={"threads": os.cpu_count() or 1})
    peer.execute("CREATE SCHEMA gold")
    for name in STORED:
        paths = [unquote(urlparse(path).path) for path in spark.read.table(f"gold.{name}").inputFiles()]
        peer.execute(f"CREATE VIEW gold.{name} AS SELECT * FROM read_parquet({paths}, hive_partitioning = true)")
    return peer


def _paired(name: str, one: Callable[[], list[Any]], other: Callable[[], list[Any]]) -> list[tuple[float, float]]:
    """Seconds of both sides, alternating, after one run each that is thrown away; exits where they do not agree."""
    if sorted(map(_plain, one())) != sorted(map(_plain, other())):
        sys.exit(f"bench: the two sides of {name} gave different rows (is the shop paused? `make pause`)")
    return [(_timed(one)[0], _timed(other)[0]) for _ in range(PAIRS)]


def _plain(row: Sequence[Any]) -> tuple[str, ...]:
    # A DuckDB decimal may carry more scale, and PyHive gives dates as Python's.
    return tuple(f"{value:.4f}" if isinstance(value, (int, float)) or hasattr(value, "as_tuple") else str(value) for value in row)


def _users_over_thrift(settings: Settings) -> list[float]:
    with thrift.cursor(settings) as cursor:
        return [_timed(partial(_over_thrift, cursor, question.render({})))[0] for question in QUESTIONS]


def _users_in_session(spark: SparkSession) -> list[float]:
    return [_timed(partial(_in_session, spark, question.render({})))[0] for question in QUESTIONS]


def _many(user: Callable[[], list[float]]) -> list[float]:
    with ThreadPoolExecutor(USERS) as pool:
        return [seconds for done in [pool.submit(user) for _ in range(USERS)] for seconds in done.result()]


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = run()
    return time.perf_counter() - began, found


def _p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(0.95 * (len(seconds) - 1))]


def _tell(what: str, ratios: Sequence[float], context: str) -> None:
    print(f"    {what}: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {context}", flush=True)


if __name__ == "__main__":
    main()
