"""Queries on one consistent state of the loaded tables, within one transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from dashboards.serving import dialect
from dashboards.serving.live import run
from dashboards.serving.plan import Pace, Plan
from lakehouse import platform_tables

_QUERY_S = 30
_MOST_ROWS = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Per base: its stored table's id, version and number of rows.
Loaded = Mapping[str, tuple[str, int, int]]
# The state a result depends on; None if it changes with the current time.
State = tuple[Any, ...] | None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A result: column names, rows as Python values, and the stored tables it reads that are empty."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    empty: tuple[str, ...] = ()


class Reader:
    """Runs queries on its own cursor, over the state that was loaded when it was created."""

    def __init__(self, cursor: Any, plan: Plan, loaded: Loaded, today: date) -> None:
        self._cursor, self._plan, self._loaded, self._today = cursor, plan, loaded, today
        run(cursor, "SET TimeZone = 'UTC'")
        self._begin()

    def state(self, spark_sql: str, names: Iterable[str]) -> State:
        """The state a result depends on: equal states give equal results. None if the result changes with the current time."""
        return state_of(self._plan, names, self._loaded, self._today, Pace.of(spark_sql))

    def query(self, spark_sql: str, names: Iterable[str]) -> Rows:
        """The result of a statement in Spark's dialect over these names; raises EbapError, TimeoutError, duckdb.Error."""
        sql = dialect.duckdb_sql(spark_sql)
        limit = threading.Timer(_QUERY_S, self._cursor.interrupt)
        limit.start()
        try:
            found = self._cursor.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            run(self._cursor, "ROLLBACK")
            self._begin()
            if isinstance(error, duckdb.InterruptException):
                raise TimeoutError(f"no result within {_QUERY_S} s: the query is too large for this page") from None
            raise
        finally:
            limit.cancel()
        columns = [_values(column) for column in found.slice(0, _MOST_ROWS).columns]
        return Rows(columns=found.column_names, rows=list(zip(*columns, strict=True)), empty=self._empty(names))

    def _begin(self) -> None:
        """Begin a transaction over the current state: DuckDB takes its snapshot at the transaction's first read."""
        run(self._cursor, "BEGIN TRANSACTION READ ONLY")
        run(self._cursor, "SELECT * FROM live.begun")

    def _empty(self, names: Iterable[str]) -> tuple[str, ...]:
        bases, _, _ = self._plan.needs(names)
        # Platform tables may be empty legitimately, such as the list of forgotten people.
        wanted = [base for base in bases if base.name in self._loaded and base.stored not in platform_tables.STORED]
        return tuple(base.stored.full_name for base in wanted if not self._loaded[base.name][2])


def state_of(plan: Plan, names: Iterable[str], loaded: Loaded, today: date, pace: Pace = Pace.NEVER) -> State:
    """The state that rows over these names depend on, for a statement of that pace."""
    bases, views, _ = plan.needs(names)
    pace = max([pace, *(view.pace for view in views)])
    if pace is Pace.ALWAYS:
        return None
    return (*sorted((base.name, *loaded[base.name][:2]) for base in bases), today if pace is Pace.DAILY else None)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The column's Python values; timestamps are converted here, because Arrow would import pandas, which takes seconds."""
    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()
    return [None if us is None else _EPOCH + timedelta(microseconds=us) for us in column.cast(pa.int64()).to_pylist()]
