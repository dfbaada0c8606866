"""DuckDB in this process, over the lake's own files: what questions read is kept in memory and loaded again when it changed.

While somebody looks, a thread follows the tables' versions; who comes after a while waits for one look at the logs. All that changed
is put in place in one transaction, and a board is answered in one, so that its tiles agree with each other.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa

from dashboards.serving import dialect
from dashboards.serving.live import Live, run
from dashboards.serving.plan import Base, Plan, View, plan
from lakehouse import ddl, ledger
from lakehouse.lake import reading
from lakehouse.lake.errors import NoTable
from lakehouse.lake.log import TableLog
from lakehouse.lake.store import store_of
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

# Beyond this DuckDB writes to its folder of temporary files; the page's process as a whole is to stay below 400 MB.
_MEMORY = "200MB"
_QUERY_S = 30
_LOOKED_AT_LATELY_S = 90
_MOST_ROWS = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MissingTableError(RuntimeError):
    """A table of the lake that is not there; the message names it and the cure."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """An answer: its columns' names, its rows as Python values, and the stored tables behind it that hold no row at all."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    empty: tuple[str, ...] = ()


class Engine:
    """The lake's tables as the questions see them; thread-safe.

    For tests, `rewritten` changes the views' SQL before it is translated, `clock` says when the last hour ends, and with a `poll_s` of 0
    every question looks at the logs itself.
    """

    def __init__(
        self,
        settings: Settings,
        questions: Iterable[str],
        rewritten: Callable[[str], str] = str,
        clock: Callable[[], datetime] | None = None,
        poll_s: float | None = None,
    ) -> None:
        self._plan: Plan = plan(questions, rewritten)
        self._settings, self._store = settings, store_of(settings)
        # A look at a bucket is a request a table.
        self._poll_s = poll_s if poll_s is not None else 5.0 if settings.is_on_gcs else 1.0
        self._clock = clock or partial(datetime.now, UTC)
        self._connection = _opened(settings)
        self._logs: dict[str, TableLog] = {}
        self._live = Live(self._log(ledger.CHANGES), self._store)
        self._loaded: dict[str, tuple[str, int, int]] = {}  # of each base: the table's id, its version, its rows
        self._views: set[str] = set()
        self._needed: set[str] = set()
        self._loading, self._starting = threading.RLock(), threading.Lock()
        self._checked_at = self._looked_at = float("-inf")
        self._follower: threading.Thread | None = None
        self._is_closed = threading.Event()

    @contextlib.contextmanager
    def reading(self, names: Iterable[str]) -> Iterator[Reader]:
        """Answers over one state of these tables and views (full names), which are brought up to date where nobody has lately.

        Raises MissingTableError, UntranslatableError.
        """
        self._bring_up(set(names))
        cursor = self._connection.cursor()
        try:
            run(cursor, "SET TimeZone = 'UTC'")
            _begin(cursor)
            yield Reader(cursor, self._empty)
        finally:
            cursor.close()

    def check(self, spark_sql: str, names: Iterable[str]) -> None:
        """Raise UntranslatableError where the statement, or a view that it reads, cannot be asked here."""
        dialect.duckdb_sql(spark_sql)
        self._plan.needs(names)

    def close(self) -> None:
        """Let go of the memory; nothing can be asked after."""
        self._is_closed.set()
        if self._follower:
            self._follower.join()
        self._connection.close()

    def _empty(self, names: Iterable[str]) -> tuple[str, ...]:
        bases, _, _ = self._plan.needs(names)
        return tuple(base.stored.full_name for base in bases if self._loaded.get(base.name, ("", 0, 1))[2] == 0)

    def _bring_up(self, names: set[str]) -> None:
        """Have all of it loaded, and not longer ago than the follower takes to come round again."""
        now = time.monotonic()
        self._plan.needs(names)  # what cannot be had is refused before anything is loaded
        is_followed = names <= self._needed and now - self._checked_at < 3 * self._poll_s
        self._looked_at = now
        if not is_followed:
            with self._loading:
                if not names <= self._needed or time.monotonic() - self._checked_at >= self._poll_s:
                    self._load(self._needed | names)
                    self._needed |= names
        if self._poll_s:
            self._follow()

    def _follow(self) -> None:
        with self._starting:
            if self._follower is None or not self._follower.is_alive():
                self._follower = threading.Thread(target=self._keep_up, daemon=True, name="lake-follower")
                self._follower.start()

    def _keep_up(self) -> None:
        while time.monotonic() - self._looked_at < _LOOKED_AT_LATELY_S and not self._is_closed.wait(self._poll_s):
            try:
                with self._loading:
                    self._load(self._needed)
            except Exception as error:  # whoever asks next meets it, and is told
                log.warning("the lake's tables could not be followed: %s", error)
                self._checked_at = float("-inf")
                break

    def _load(self, names: set[str]) -> None:
        """Load what moved, and make the views that are missing, in one transaction."""
        bases, views, has_live = self._plan.needs(names)
        run(self._connection, "BEGIN")
        try:
            found = {base.name: self._loaded_base(base) for base in bases}
            if has_live:
                with _named(ledger.CHANGES.full_name):
                    self._live.refresh(self._connection, self._clock())
            made = [self._made(view) for view in views if view.name not in self._views]
            run(self._connection, "COMMIT")
        except BaseException:
            run(self._connection, "ROLLBACK")
            self._live.forget()
            raise
        self._loaded |= found
        self._views |= set(made)
        self._checked_at = time.monotonic()

    def _made(self, view: View) -> str:
        run(self._connection, f"CREATE OR REPLACE VIEW {view.name} AS {view.sql}")
        return view.name

    def _loaded_base(self, base: Base) -> tuple[str, int, int]:
        known = self._loaded.get(base.name)
        with _named(base.stored.full_name):
            snapshot = self._log(base.stored).snapshot()
        at = snapshot.metadata.raw["id"], snapshot.version
        if known and known[:2] == at:
            return known
        # Compaction is a version too; what it leaves is the same, so loading it again is only work.
        found = reading.relation(self._connection, snapshot, self._store, columns=base.columns, where=base.only)
        self._connection.register("found", found)
        run(
            self._connection,
            f"CREATE OR REPLACE TABLE {base.name} AS SELECT {', '.join(base.select)} FROM found WHERE {base.where or 'true'}",
        )
        self._connection.unregister("found")
        ((rows,),) = run(self._connection, f"SELECT count(*) FROM {base.name}")
        return (*at, rows)

    def _log(self, table: Any) -> TableLog:
        if table.full_name not in self._logs:
            self._logs[table.full_name] = TableLog(self._store, ddl.location(self._settings, table))
        return self._logs[table.full_name]


class Reader:
    """Asks one state of the tables, within one transaction."""

    def __init__(self, cursor: Any, empty: Callable[[Iterable[str]], tuple[str, ...]]) -> None:
        self._cursor, self._empty = cursor, empty

    def ask(self, spark_sql: str, names: Iterable[str]) -> Rows:
        """The answer to a statement in Spark's dialect over these names; raises UntranslatableError, TimeoutError, duckdb.Error."""
        sql = dialect.duckdb_sql(spark_sql)
        limit = threading.Timer(_QUERY_S, self._cursor.interrupt)
        limit.start()
        try:
            found = self._cursor.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            run(self._cursor, "ROLLBACK")
            _begin(self._cursor)
            if isinstance(error, duckdb.InterruptException):
                raise TimeoutError(f"no answer within {_QUERY_S} s: the question is too large for this page") from None
            raise
        finally:
            limit.cancel()
        columns = [_values(column) for column in found.slice(0, _MOST_ROWS).columns]
        return Rows(columns=found.column_names, rows=list(zip(*columns, strict=True)), empty=self._empty(names))


def _begin(cursor: Any) -> None:
    """Begin a transaction that sees the tables as they are now: DuckDB's sees them as they are at its first read."""
    run(cursor, "BEGIN TRANSACTION READ ONLY")
    run(cursor, "SELECT * FROM live.begun")


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The column's Python values; instants are made here, because Arrow imports pandas (seconds) to make the first."""
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()
    return [None if us is None else _EPOCH + timedelta(microseconds=us) for us in column.cast(pa.int64()).to_pylist()]


def _opened(settings: Settings) -> Any:
    # A thread a query: the queries of several viewers run beside each other, each in the thread that asks.
    config: dict[str, Any] = {"memory_limit": _MEMORY, "threads": 1, "temp_directory": str(settings.home_dir / "run" / "boards_spill")}
    connection = duckdb.connect(config=config)
    schemas = [f"CREATE SCHEMA {name}" for name in ("bronze", "silver", "gold", "live")]
    for statement in ("SET TimeZone = 'UTC'", *schemas, "CREATE TABLE live.begun AS SELECT 1", *dialect.MACROS):
        run(connection, statement)
    return connection


@contextlib.contextmanager
def _named(full_name: str) -> Iterator[None]:
    try:
        yield
    except NoTable:
        raise MissingTableError(
            f"there is no {full_name} yet: `make up` makes the lake's tables, `make status` shows how far it is"
        ) from None
