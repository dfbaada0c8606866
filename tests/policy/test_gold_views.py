"""Every declared gold view has SQL that reads its inputs, and nothing else, and gives its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlglot
from sqlglot import exp

from lakehouse import tables
from lakehouse.contract import ContractError, Table
from lakehouse.transforms import gold_sql
from tests.conftest import empty_lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

VIEWS = [table for table in tables.GOLD if table.is_view]
BATCH_FED = [table for table in VIEWS if not gold_sql.reads_bronze(table)]


@pytest.mark.parametrize("table", BATCH_FED, ids=lambda table: table.name)
def test_a_view_reads_exactly_the_declared_inputs_and_names_the_declared_columns(table: Table) -> None:
    select = sqlglot.parse_one(gold_sql.select(table), dialect="spark")
    assert isinstance(select, exp.Select)
    declared = {t.name: t for t in (*tables.SOURCES, *tables.GOLD)}
    read = {f"{found.db}.{found.name.removesuffix('_history')}" for found in select.find_all(exp.Table)}
    assert read == {declared[name].full_name for name in table.inputs}
    assert tuple(select.named_selects) == table.column_names


@pytest.mark.parametrize("table", VIEWS, ids=lambda table: table.name)
def test_no_view_shows_personal_data(table: Table) -> None:
    personal = {column.name for source in tables.SOURCES for column in source.columns if column.pii}
    assert not personal & set(table.column_names)


def test_a_view_without_sql_is_refused() -> None:
    lost = Table(**{name: getattr(VIEWS[0], name) for name in VIEWS[0].__dataclass_fields__} | {"name": "lost"})
    with pytest.raises(ContractError, match=r"'lost' has no SQL: add transforms/gold/lost.sql"):
        gold_sql.select(lost)


def test_the_catalog_shows_the_declared_types(spark: SparkSession, lake_settings: Settings, tmp_path: Any) -> None:
    empty_lake(spark, lake_settings, tmp_path)
    for table in VIEWS:
        shown = {field.name: field.dataType.simpleString().upper() for field in spark.table(table.full_name).schema}
        assert shown == {column.name: column.type for column in table.columns}, table.name
