"""The source's tables match EBAP's declarations."""

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from lakehouse import tables
from lakehouse.contract import Table

SCHEMA = Path(__file__).resolve().parents[2] / "generator" / "schema.sql"

# Spark type of a declaration -> Postgres types that are read into it without loss.
FITTING = {
    "BIGINT": {"BIGINT"},
    "INT": {"INT"},
    "STRING": {"TEXT", "JSONB", "UUID", "shop.user_tier", "shop.order_status"},
    "BOOLEAN": {"BOOLEAN"},
    "DOUBLE": {"DOUBLE PRECISION"},
    "DATE": {"DATE"},
    "TIMESTAMP": {"TIMESTAMPTZ"},
    "BINARY": {"BYTEA"},
    "ARRAY<STRING>": {"TEXT[]"},
}


def created_tables(sql: str) -> dict[str, exp.Create]:
    """Each CREATE TABLE of the script by its table's bare name."""
    statements = [s for s in sqlglot.parse(sql, dialect="postgres") if isinstance(s, exp.Create) and s.kind == "TABLE"]
    return {statement.this.this.name: statement for statement in statements}


def source_columns(sql: str, name: str) -> dict[str, str]:
    """Column name -> Postgres type of one table of the script."""
    definitions = created_tables(sql)[name].this.find_all(exp.ColumnDef)
    return {column.name: column.kind.sql(dialect="postgres") for column in definitions}


def misfits(table: Table, columns: dict[str, str]) -> list[str]:
    """Columns of the declaration that the source lacks or has with another type."""
    faults = []
    for column in table.columns:
        found = columns.get(column.name)
        wanted = {column.type} if column.type.startswith("DECIMAL") else FITTING[column.type]
        if found is None:
            faults.append(f"{column.name} is missing")
        elif found.replace(", ", ",") not in wanted:
            faults.append(f"{column.name} is {found}, wanted {' or '.join(sorted(wanted))}")
    return faults


@pytest.mark.parametrize("table", tables.SOURCES, ids=lambda table: table.name)
def test_every_declared_column_exists_in_the_source_with_a_type_that_fits(table: Table) -> None:
    assert misfits(table, source_columns(SCHEMA.read_text(), table.name)) == []


@pytest.mark.parametrize("table", tables.SOURCES, ids=lambda table: table.name)
def test_every_source_column_is_declared(table: Table) -> None:
    assert set(source_columns(SCHEMA.read_text(), table.name)) == set(table.column_names)


@pytest.mark.parametrize("table", tables.SOURCES, ids=lambda table: table.name)
def test_the_declared_key_is_the_primary_key(table: Table) -> None:
    statement = created_tables(SCHEMA.read_text())[table.name]
    composite = [column.name for key in statement.find_all(exp.PrimaryKey) for column in key.expressions]
    single = [c.name for c in statement.find_all(exp.ColumnDef) if c.find(exp.PrimaryKeyColumnConstraint)]
    assert tuple(composite or single) == table.key


def test_a_column_that_is_missing_or_of_another_type_is_reported() -> None:
    columns = source_columns(SCHEMA.read_text(), "products")
    del columns["sku"]
    columns["price_usd"] = "DECIMAL(12, 2)"
    assert misfits(tables.source("products"), columns) == [
        "sku is missing",
        "price_usd is DECIMAL(12, 2), wanted DECIMAL(10,2)",
    ]


def test_the_long_text_is_stored_out_of_line_and_replica_identity_is_the_default() -> None:
    text = SCHEMA.read_text()
    assert "ALTER COLUMN description SET STORAGE EXTERNAL" in text
    assert "REPLICA IDENTITY FULL" not in text
