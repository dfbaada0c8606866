"""The lake for a process without Spark: its tables by declaration, and the state of each."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from lakehouse.delta import reading
from lakehouse.delta.log import Snapshot, TableLog
from lakehouse.delta.store import LocalStore, Store
from lakehouse.lake import ddl, state

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from lakehouse.contract import Table
    from lakehouse.delta.pruning import Filter
    from lakehouse.settings import Settings


class Lake:
    """The stored tables of the settings' lake. Logs are shared between threads; `con` belongs to one thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = store_of(settings)
        self.states = state.store(settings)
        self._logs: dict[str, TableLog] = {}
        self._lock = threading.Lock()

    @cached_property
    def con(self) -> DuckDBPyConnection:
        """A DuckDB connection, opened at first use."""
        return reading.connect()

    def log(self, table: Table) -> TableLog:
        """The log of a stored table; raises NoTableError at its first use if the catalog was not created."""
        with self._lock:
            if table.full_name not in self._logs:
                self._logs[table.full_name] = TableLog(self.store, ddl.location(self.settings, table))
            return self._logs[table.full_name]

    def snapshot(self, table: Table) -> Snapshot:
        """The current snapshot of a stored table."""
        return self.log(table).snapshot()

    def read(self, table: Table, columns: Sequence[str] | None = None, where: Filter | None = None) -> pa.Table:
        """Current rows of a stored table."""
        return reading.read(self.con, self.snapshot(table), self.store, columns, where=where)


def store_of(settings: Settings) -> Store:
    """The store that holds the lake of these settings."""
    if not settings.is_on_gcs:
        return LocalStore()
    from lakehouse.delta.gcs import GcsStore  # Google's client takes half a second to load

    return GcsStore(settings)
