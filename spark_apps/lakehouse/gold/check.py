"""Faults of gold's SQL by file and line, found without Spark and without data."""

from __future__ import annotations

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.errors import ContractError
from lakehouse.gold import dialect, queries, readable, translation
from lakehouse.transforms.gold import sql_files


def faults() -> list[str]:
    """Every fault of every gold table and view, one line each."""
    return [fault for table in tables.GOLD for fault in of_table(table)]


def of_table(table: Table) -> list[str]:
    """The faults of one table."""
    try:
        sql, touched = sql_files.select(table), sql_files.touched(table)
    except ContractError as error:
        return [str(error)]
    if sql_files.reads_bronze(table):
        return []  # Generated from the declarations, for Spark only.
    output = {column.name: column.type for column in table.columns}
    found = _of_text(f"tables/{table.name}.sql", sql, output) or [
        f"tables/{table.name}.sql {fault}" for fault in queries.faults(table, translation.query(sql).reads)
    ]
    if touched and table.slice:
        found += _of_text(f"tables/{table.name}.touched.sql", touched, {table.slice: output[table.slice]})
    return found + [fault for name in table.sliced_by for fault in _of_slice(table, name)]


def _of_text(file: str, sql: str, output: dict[str, str]) -> list[str]:
    return [f"{file}:{line}: {reason}" for line, reason in dialect.faults(sql, readable.columns(), output)]


def _of_slice(table: Table, name: str) -> list[str]:
    assert table.slice
    sql = queries.slice_query(table, name, table.slice)
    found = dialect.faults(sql, readable.columns(), {table.slice: table.column(table.slice).type})
    return [f"tables/{table.name}.py: sliced_by {name!r}: {reason}" for _, reason in found]
