"""Line 11: the boards' questions over Thrift, against the same SQL in a Spark session, and against DuckDB on the same files."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import unquote, urlparse

import duckdb
import sqlglot
from pyspark.sql import SparkSession

from dashboards.metabase import files
from lakehouse.settings import Settings
from lakehouse.spark import session, thrift
from tests.bench.sides import begin, p95, paired, report, timed

USERS = 4
STORED = {"order_lines", "daily_sales", "product_daily"}
# Without those whose results change with the current time.
QUESTIONS = [question for question in files.questions().values() if not question.name.startswith("live_")]


def queries(settings: Settings) -> None:
    """One user and several, and the minimum duration of a query over Thrift."""
    begin("11  board queries (target: p95 over Thrift at most 1.3 times the session's)")
    with _spark(settings) as spark:
        with thrift.cursor(settings) as cursor:
            ones = [timed(lambda: over_thrift(cursor, "SELECT 1"))[0] for _ in range(20)]
            print(f"    select 1: median {1000 * statistics.median(ones):.0f} ms (target under 100 ms)")
            _one_user(cursor, spark)
        many = [_many(lambda: _users_over_thrift(settings)) for _ in range(2)]
        same = [_many(lambda: _users_in_session(spark)) for _ in range(2)]
    both = [p95(one) / p95(other) for one, other in zip(many, same, strict=True)]
    report(f"{USERS} users, p95 Thrift / session", both, f"p95 {p95([*chain(*many)]):.2f} s / {p95([*chain(*same)]):.2f} s")


def over_thrift(cursor: Any, text: str) -> list[Any]:
    """All rows of a query."""
    cursor.execute(text)
    return cursor.fetchall()  # type: ignore[no-any-return]


def _one_user(cursor: Any, spark: SparkSession) -> None:
    peer = _duckdb(spark)
    ratios, against_duckdb, through, within = [], [], [], []
    for question in QUESTIONS:
        text = question.render({})
        sides = [partial(over_thrift, cursor, text), partial(_in_session, spark, text)]
        pairs = paired(question.name, *sides)
        through += [pair[0] for pair in pairs]
        within += [pair[1] for pair in pairs]
        ratios.append(statistics.median(one / other for one, other in pairs))
        if set(question.tables) <= STORED:
            translated = sqlglot.transpile(text, read="spark", write="duckdb")[0]
            twins = paired(question.name, sides[0], partial(_in_duckdb, peer, translated))
            against_duckdb.append(statistics.median(one / other for one, other in twins))
    report("1 user, Thrift / session", ratios, f"p95 {p95(through):.2f} s / {p95(within):.2f} s")
    report("1 user, Thrift / DuckDB on gold's files (target 10)", against_duckdb, f"{len(against_duckdb)} questions")


@contextmanager
def _spark(settings: Settings) -> Iterator[SparkSession]:
    spark = session.connect(settings)
    try:
        yield spark
    finally:
        spark.stop()


def _in_session(spark: SparkSession, text: str) -> list[Any]:
    return [tuple(row) for row in spark.sql(text).collect()]


def _in_duckdb(peer: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    return peer.execute(text).fetchall()


def _duckdb(spark: SparkSession) -> duckdb.DuckDBPyConnection:
    """DuckDB with views over the same files as gold's tables."""
    peer = duckdb.connect(config={"threads": os.cpu_count() or 1})
    peer.execute("CREATE SCHEMA gold")
    for name in STORED:
        paths = [unquote(urlparse(path).path) for path in spark.read.table(f"gold.{name}").inputFiles()]
        peer.execute(f"CREATE VIEW gold.{name} AS SELECT * FROM read_parquet({paths}, hive_partitioning = true)")
    return peer


def _users_over_thrift(settings: Settings) -> list[float]:
    with thrift.cursor(settings) as cursor:
        return [timed(partial(over_thrift, cursor, question.render({})))[0] for question in QUESTIONS]


def _users_in_session(spark: SparkSession) -> list[float]:
    return [timed(partial(_in_session, spark, question.render({})))[0] for question in QUESTIONS]


def _many(user: Callable[[], list[float]]) -> list[float]:
    with ThreadPoolExecutor(USERS) as pool:
        return [seconds for done in [pool.submit(user) for _ in range(USERS)] for seconds in done.result()]
