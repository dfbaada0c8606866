"""DuckDB over the lake's files in this process: what questions read is kept in memory and reloaded when a table changes.

While queries arrive, a thread polls the tables' versions; the first query after a pause checks the logs itself. Changed tables are
loaded in one transaction, and a board is answered in one, so that its tiles are consistent with each other.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import duckdb

from dashboards.serving import dialect
from dashboards.serving.live import Live, run
from dashboards.serving.plan import Base, Plan, View, plan
from dashboards.serving.reader import Loaded, Reader, State, state_of
from lakehouse import platform_tables
from lakehouse.delta import reading
from lakehouse.delta.errors import NoTableError
from lakehouse.gold.functions import macros
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

# Beyond this DuckDB spills to its temporary folder; the page's whole process should stay below 400 MB.
_MEMORY = "200MB"
_POLL_AFTER_QUERY_S = 90


class Engine:
    """The lake's tables as the questions read them; thread-safe.

    For tests, `rewritten` changes the views' SQL before it is translated, `clock` sets the end of the last hour, and with a `poll_s` of 0
    every query checks the logs itself.
    """

    def __init__(
        self,
        settings: Settings,
        questions: Iterable[str],
        rewritten: Callable[[str], str] = str,
        clock: Callable[[], datetime] | None = None,
        poll_s: float | None = None,
        lake: Lake | None = None,
    ) -> None:
        self._plan: Plan = plan(questions, rewritten)
        self._lake = lake or Lake(settings)
        # A check of a bucket takes one request per table.
        self._poll_s = poll_s if poll_s is not None else 5.0 if settings.is_on_gcs else 1.0
        self._clock = clock or partial(datetime.now, UTC)
        self._connection = _opened(settings)
        self._live = Live(self._lake.log(platform_tables.CHANGES), self._lake.store)
        self._loaded: Loaded = {}
        self._created: dict[str, State] = {}  # per view: the state it was created from
        self._needed: set[str] = set()
        self._loading, self._starting = threading.RLock(), threading.Lock()
        self._checked_at = self._queried_at = float("-inf")
        self._follower: threading.Thread | None = None
        self._is_closed = threading.Event()

    @contextlib.contextmanager
    def reading(self, names: Iterable[str]) -> Iterator[Reader]:
        """A reader of one state of these tables and views (full names), which are first refreshed unless they are up to date.

        Raises NoTableError, EbapError.
        """
        self._refresh(set(names))
        # Read before the transaction begins: rows may be newer than the state reported for them, never older.
        loaded, today = self._loaded, self._clock().date()
        with contextlib.closing(self._connection.cursor()) as cursor:
            yield Reader(cursor, self._plan, loaded, today)

    def check(self, spark_sql: str, names: Iterable[str]) -> None:
        """Raise EbapError if the statement, or a view that it reads, cannot run here."""
        dialect.duckdb_sql(spark_sql)
        self._plan.needs(names)

    def close(self) -> None:
        """Release the memory; the engine cannot be used afterwards."""
        self._is_closed.set()
        if self._follower:
            self._follower.join()
        self._connection.close()

    def _refresh(self, names: set[str]) -> None:
        """Load these names unless the follower has checked them within its last polls."""
        now = time.monotonic()
        self._plan.needs(names)  # raises before anything is loaded
        is_followed = names <= self._needed and now - self._checked_at < 3 * self._poll_s
        self._queried_at = now
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
                self._follower = threading.Thread(target=self._poll, daemon=True, name="lake-follower")
                self._follower.start()

    def _poll(self) -> None:
        while time.monotonic() - self._queried_at < _POLL_AFTER_QUERY_S and not self._is_closed.wait(self._poll_s):
            try:
                with self._loading:
                    self._load(self._needed)
            except Exception as error:  # the next query loads the tables itself and raises the error
                log.warning("polling the lake's tables failed: %s", error)
                self._checked_at = float("-inf")
                break

    def _load(self, names: set[str]) -> None:
        """Load changed tables, and create outdated views, in one transaction."""
        bases, views, has_live = self._plan.needs(names)
        # Read before the transaction: around midnight a view may be created twice, but never kept from the day before.
        today = self._clock().date()
        run(self._connection, "BEGIN")
        try:
            found = {base.name: self._loaded_base(base) for base in bases}
            if has_live:
                with _named(platform_tables.CHANGES.full_name):
                    self._live.refresh(self._connection, self._clock())
            created = {view.name: self._view(view, state_of(self._plan, [view.name], found, today)) for view in views}
            run(self._connection, "COMMIT")
        except BaseException:
            run(self._connection, "ROLLBACK")
            self._live.forget()
            raise
        self._loaded = {**self._loaded, **found}
        self._created |= created
        self._checked_at = time.monotonic()

    def _view(self, view: View, state: State) -> State:
        """Create the view unless it is up to date: as a table, which several questions read, or as a view if it depends on the time."""
        kind = "VIEW" if state is None else "TABLE"
        if view.name not in self._created or state != self._created[view.name]:
            run(self._connection, f"CREATE OR REPLACE {kind} {view.name} AS {view.sql}")
        return state

    def _loaded_base(self, base: Base) -> tuple[str, int, int]:
        known = self._loaded.get(base.name)
        with _named(base.stored.full_name):
            snapshot = self._lake.snapshot(base.stored)
        at = snapshot.metadata.raw["id"], snapshot.version
        if known and known[:2] == at:
            return known
        # A new version by compaction has the same rows; it is loaded again nevertheless.
        found = reading.relation(self._connection, snapshot, self._lake.store, columns=base.columns, where=base.only)
        self._connection.register("found", found)
        run(
            self._connection,
            f"CREATE OR REPLACE TABLE {base.name} AS SELECT {', '.join(base.select)} FROM found WHERE {base.where or 'true'}",
        )
        self._connection.unregister("found")
        ((rows,),) = run(self._connection, f"SELECT count(*) FROM {base.name}")
        return (*at, rows)


def _opened(settings: Settings) -> Any:
    # One thread per query: concurrent queries run in the threads that issue them.
    config: dict[str, Any] = {"memory_limit": _MEMORY, "threads": 1, "temp_directory": str(settings.home_dir / "run" / "boards_spill")}
    connection = duckdb.connect(config=config)
    schemas = [f"CREATE SCHEMA {name}" for name in ("bronze", "silver", "gold", "live")]
    for statement in ("SET TimeZone = 'UTC'", *schemas, "CREATE TABLE live.begun AS SELECT 1", *dialect.MACROS, *macros().values()):
        run(connection, statement)
    return connection


@contextlib.contextmanager
def _named(full_name: str) -> Iterator[None]:
    try:
        yield
    except NoTableError:
        raise NoTableError(
            f"there is no {full_name} yet", "`make up` creates the lake's tables, `make status` shows the progress"
        ) from None
