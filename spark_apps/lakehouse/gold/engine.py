"""DuckDB configured to answer like Spark: UTC, and the macros of the dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.delta import reading
from lakehouse.gold import functions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SETTINGS = {
    # Nothing from outside: what is not built in is not there.
    "autoinstall_known_extensions": "false",
    # A million rows of an input need about 300 MB; beyond this DuckDB writes to disk.
    "memory_limit": "'1GB'",
}
# `kept` holds the rows that the views of the others show.
SCHEMAS = ("silver", "gold", "changed", "kept")


def connect() -> DuckDBPyConnection:
    """An empty database in memory that runs translated queries, with every macro."""
    made = reading.connect()
    prepare(made)
    for statement in functions.macros().values():
        made.execute(statement)
    return made


def prepare(con: DuckDBPyConnection) -> None:
    """Make a connection fit for translated queries, their macros left out; safe to repeat."""
    for name, value in _SETTINGS.items():
        con.execute(f"SET {name} = {value}")
    for schema in SCHEMAS:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")


def define(con: DuckDBPyConnection, query: str) -> None:
    """Make the macros that a translated query calls."""
    called = query.lower()
    for name, statement in functions.macros().items():
        if f"{name}(" in called:
            con.execute(statement)


def clear(con: DuckDBPyConnection) -> None:
    """Drop what a run has loaded, and leave the connection as it was."""
    con.execute("RESET memory_limit")
    for schema in SCHEMAS:
        con.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
