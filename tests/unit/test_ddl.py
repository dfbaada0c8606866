"""The SQL of tables and views."""

from __future__ import annotations

import re

import sqlglot

from lakehouse import tables
from lakehouse.lake import ddl
from lakehouse.settings import Settings


def test_every_statement_is_safe_to_run_again() -> None:
    for statement in ddl.statements(Settings(home="/h")):
        assert re.match(r"CREATE (SCHEMA IF NOT EXISTS|TABLE IF NOT EXISTS|OR REPLACE VIEW) ", statement), statement


def test_every_column_of_a_public_view_has_its_declared_comment() -> None:
    made = {statement.split()[4]: statement for statement in ddl.statements(Settings(home="/h")) if statement.startswith("CREATE OR")}
    for table in tables.SOURCES:
        for column in table.columns:
            assert f"`{column.name}` COMMENT {ddl.quote(column.doc)}" in made[table.full_name]


def test_a_quote_in_a_comment_ends_no_string() -> None:
    assert sqlglot.parse_one(f"SELECT {ddl.quote(chr(39) + 's')}", dialect="spark").expressions[0].this == "'s"


def test_views_parse_as_spark_sql() -> None:
    for table in tables.SOURCES:
        sqlglot.parse_one(ddl.bronze_select(table), dialect="spark")
