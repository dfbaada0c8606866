"""Line 4: the delay from a commit in Postgres to its readers: bronze, gold over Thrift, and the page.

The total of one order counts the commits, so that a read of n has seen all commits up to the n-th. Three readers poll for the same
commits. Omitted because of the machine's size and missing locks: 1,000 changes per second over five tables for ten minutes, and the
peer pydbzengine to delta-rs.
"""

from __future__ import annotations

import bisect
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import psycopg2
import requests

from lakehouse import platform_tables
from lakehouse.lake import ddl
from lakehouse.settings import Settings
from lakehouse.spark import thrift
from lakehouse.spark.streaming import report_file
from tests.bench.boards import over_thrift
from tests.bench.sides import begin, p95, until

COMMITS_PER_S = 10
FOR_S = 120
_IDLE_BATCHES = 5
_LIMIT_S = 120.0
_POLL_S = 0.05
# The page caches results of Spark for five seconds.
_PAGE_POLL_S = 0.5

# Returns the number of the newest visible commit; 0 if there is none.
Read = Callable[[], int]


class Watch(threading.Thread):
    """A reader that polls until it has seen the commit of that number, and records when it saw each."""

    def __init__(self, name: str, read: Read, pause_s: float, last: int) -> None:
        super().__init__(name=name, daemon=True)
        self._read, self._pause_s, self._last = read, pause_s, last
        self._at: list[float] = []
        self._seen: list[int] = []
        self.error: Exception | None = None

    def run(self) -> None:
        """Poll; an error ends the thread."""
        try:
            while not self._seen or self._seen[-1] < self._last:
                seen = self._read()
                self._at.append(time.monotonic())
                self._seen.append(max(seen, self._seen[-1] if self._seen else 0))
                time.sleep(self._pause_s)  # between two polls
        except Exception as error:
            self.error = error

    def delays(self, committed: list[float]) -> list[float]:
        """Seconds from each commit to the end of the first read that saw it."""
        return [self._at[bisect.bisect_left(self._seen, number)] - at for number, at in enumerate(committed, start=1)]


def commits(settings: Settings) -> None:
    """Commit at a steady rate while the readers poll, then report each reader's delays."""
    number = COMMITS_PER_S * FOR_S
    begin(f" 4  from commit to read, {number:,} commits, {COMMITS_PER_S} per second, three concurrent readers")
    with _order(settings) as (order_id, commit), thrift.cursor(settings) as cursor:
        floor_s = _idle_batch_s(settings, commit)
        limit_s = settings.trigger_s + floor_s
        readers = [
            Watch("bronze", _bronze(settings, order_id), _POLL_S, number),
            Watch("gold.orders_live over Thrift", _gold(cursor, order_id), _POLL_S, number),
            Watch("page", _page(settings, order_id), _PAGE_POLL_S, number),
        ]
        for reader in readers:
            reader.start()
        committed = _steadily(commit, number)
        for reader in readers:
            reader.join(_LIMIT_S)
            if reader.error or reader.is_alive():
                sys.exit(
                    f"bench: {reader.name} did not show the last commit within {_LIMIT_S:.0f} s ({reader.error}): look at `make status`"
                )
    print(f"    limit: {limit_s:.1f} s, land's interval of {settings.trigger_s} s plus {floor_s:.1f} s for a batch of one change")
    for reader in readers:
        _report(reader.name, reader.delays(committed), limit_s)
    print("    omitted: the peer pydbzengine to delta-rs, which is not installed", flush=True)


def _report(name: str, delays: list[float], limit_s: float) -> None:
    median, most = statistics.median(delays), max(delays)
    targets = ("target at most 1.5", "target at most 4") if name == "bronze" else ("no target", "no target")
    print(f"    source to {name}: median {median:.1f} s ({min(delays):.1f} to {most:.1f}), p95 {p95(delays):.1f} s;", end=" ")
    print(f"p95 / limit {p95(delays) / limit_s:.2f} ({targets[0]}), max / median {most / median:.1f} ({targets[1]})", flush=True)


@contextmanager
def _order(settings: Settings) -> Iterator[tuple[int, Callable[[int], None]]]:
    """A temporary guest order, and a function that commits a number as its total."""
    source = psycopg2.connect(settings.shop_dsn, password=settings.secret("shop_owner"))
    source.autocommit = True
    cursor = source.cursor()
    cursor.execute("INSERT INTO shop.orders (status, ordered_at, total_usd) VALUES ('placed', now(), 0) RETURNING order_id")
    ((order_id,),) = cursor.fetchall()
    try:
        yield order_id, lambda number: cursor.execute("UPDATE shop.orders SET total_usd = %s WHERE order_id = %s", [number, order_id])
    finally:
        cursor.execute("DELETE FROM shop.orders WHERE order_id = %s", [order_id])
        source.close()


def _steadily(commit: Callable[[int], None], number: int) -> list[float]:
    """When each commit returned; a late commit does not delay the next one."""
    began = time.monotonic()
    committed = []
    for n in range(1, number + 1):
        time.sleep(max(0.0, began + n / COMMITS_PER_S - time.monotonic()))  # the requested pace
        commit(n)
        committed.append(time.monotonic())
    return committed


def _idle_batch_s(settings: Settings, commit: Callable[[int], None]) -> float:
    """The median duration of a batch of one change, as reported by land."""
    reported = report_file(settings, "land")
    took = []
    for _ in range(_IDLE_BATCHES):
        before = reported.read_text()
        commit(0)
        after = until(lambda before=before: (text := reported.read_text()) != before and text, _LIMIT_S, "land to report a batch")  # type: ignore[misc]
        took.append(json.loads(after)["duration_ms"] / 1000)
    return statistics.median(took)


def _bronze(settings: Settings, order_id: int) -> Read:
    """Reads the files that each new commit of the Delta log adds."""
    table = Path(unquote(urlsplit(ddl.location(settings, platform_tables.CHANGES)).path))
    log = table / "_delta_log"
    version = max(int(path.stem) for path in log.glob("*.json"))
    newest = 0

    def read() -> int:
        nonlocal version, newest
        while (path := log / f"{version + 1:020}.json").exists():
            version += 1
            newest = max(newest, _total(table, path, order_id))
        return newest

    return read


def _total(table: Path, commit: Path, order_id: int) -> int:
    """The greatest total of the order among the rows that a commit of the log added, 0 if there is none."""
    actions = [json.loads(line) for line in commit.read_text().splitlines()]
    added = [action["add"] for action in actions if "add" in action and action["add"]["dataChange"]]
    files = [str(table / unquote(add["path"])) for add in added if add["partitionValues"]["source_table"] == "orders"]
    if not files:
        return 0
    query = f"""SELECT max(CAST(decode(value) ->> '$.after.total_usd' AS DOUBLE)) FROM read_parquet({files})
        WHERE value IS NOT NULL AND CAST(decode(key) ->> '$.order_id' AS BIGINT) = {order_id}"""
    with duckdb.connect() as database:
        found = database.execute(query).fetchone()
    return int(found[0] or 0) if found else 0


def _gold(cursor: Any, order_id: int) -> Read:
    def read() -> int:
        rows = over_thrift(cursor, f"SELECT total_usd FROM gold.orders_live WHERE order_id = {order_id}")
        return int(rows[0][0]) if rows else 0

    return read


def _page(settings: Settings, order_id: int) -> Read:
    url = f"{settings.boards_url}/api/boards/orders_live/live_latest"

    def read() -> int:
        answer = requests.get(url, timeout=_LIMIT_S)
        answer.raise_for_status()
        found = answer.json()
        at = {name: found["columns"].index(name) for name in ("order_id", "total_usd")}
        totals = [row[at["total_usd"]] for row in found["rows"] if int(row[at["order_id"]]) == order_id]
        return int(float(totals[0])) if totals else 0

    return read
