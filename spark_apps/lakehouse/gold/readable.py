"""What gold's SQL can read: tables with their columns and types, and a translated query with what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from lakehouse import tables
from lakehouse.contract import History, Table
from lakehouse.lake import ddl
from lakehouse.transforms.gold.sql_files import HISTORY_SUFFIX

# Schema and name of a table as a query writes it: ("silver", "orders_history").
Name = tuple[str, str]
Columns = Mapping[str, Mapping[str, Mapping[str, str]]]
SINCE = "since"


@dataclass(frozen=True, kw_only=True)
class Query:
    """A SELECT for DuckDB, and what it reads: columns by table."""

    duckdb: str
    reads: Mapping[Name, tuple[str, ...]]


@cache
def columns() -> Columns:
    """Every table that gold's SQL can read, with its columns and their declared types."""
    silver = {table.name: _types(table) for table in tables.SOURCES}
    full = [table for table in tables.SOURCES if table.history is History.FULL]
    silver |= {f"{table.name}{HISTORY_SUFFIX}": {c.name: c.type for c in ddl.history_view_columns(table)} for table in full}
    changed = {table.name: {name: table.column(name).type for name in table.key} | {SINCE: "TIMESTAMP"} for table in tables.SOURCES}
    return {"silver": silver, "gold": {table.name: _types(table) for table in tables.GOLD}, "changed": changed}


def _types(table: Table) -> dict[str, str]:
    return {column.name: column.type for column in table.columns}
