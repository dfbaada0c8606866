"""DuckDB configured to return Spark's results: UTC, and the macros of the dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.delta import reading
from lakehouse.gold import functions

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SETTINGS = {
    # No extensions are downloaded; only built-in ones are used.
    "autoinstall_known_extensions": "false",
    # A million input rows need about 300 MB; beyond this limit DuckDB spills to disk.
    "memory_limit": "'1GB'",
}
# `kept` holds the rows behind the views in the other schemas.
SCHEMAS = ("silver", "gold", "changed", "kept")


def connect() -> DuckDBPyConnection:
    """An empty database in memory that runs translated queries, with every macro."""
    con = reading.connect()
    prepare(con)
    for statement in functions.macros().values():
        con.execute(statement)
    return con


def prepare(con: DuckDBPyConnection) -> None:
    """Prepare a connection for translated queries, without their macros; safe to repeat."""
    for name, value in _SETTINGS.items():
        con.execute(f"SET {name} = {value}")
    for schema in SCHEMAS:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")


def define(con: DuckDBPyConnection, query: str) -> None:
    """Create the macros that a translated query calls."""
    called = query.lower()
    for name, statement in functions.macros().items():
        if f"{name}(" in called:
            con.execute(statement)


def clear(con: DuckDBPyConnection) -> None:
    """Drop what a run has loaded, and restore the connection."""
    con.execute("RESET memory_limit")
    for schema in SCHEMAS:
        con.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
