"""A DuckDB that answers as Spark does: UTC, the macros of the dialect, no extension from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from lakehouse.gold import dialect

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SETTINGS = {
    # A task has a core to itself at most; a second thread makes small queries no faster.
    "threads": "1",
    # 20,000 lines and their history need 60 MB; beyond this DuckDB writes to disk, and Spark should have been taken.
    "memory_limit": "'1GB'",
    "TimeZone": "'UTC'",
    "autoinstall_known_extensions": "false",
    "preserve_insertion_order": "false",
}
# `kept` holds the rows that the views of the others show.
_SCHEMAS = ("silver", "gold", "changed", "kept")


def connect() -> DuckDBPyConnection:
    """An empty database in memory, with the lake's schemas."""
    made = duckdb.connect()
    for name, value in _SETTINGS.items():
        made.execute(f"SET {name} = {value}")
    for schema in _SCHEMAS:
        made.execute(f"CREATE SCHEMA {schema}")
    for macro in dialect.macros():
        made.execute(macro)
    return made
