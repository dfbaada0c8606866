"""Every declared gold table has a transform that reads its inputs and gives its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse import tables
from lakehouse.contract import ContractError, Table
from lakehouse.ddl import history_view_columns
from lakehouse.transforms import gold

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STORED = [table for table in tables.GOLD if not table.is_view]


@pytest.mark.parametrize("table", STORED, ids=lambda table: table.name)
def test_a_gold_function_reads_exactly_the_declared_inputs(table: Table) -> None:
    assert {name.removesuffix(gold.HISTORY_SUFFIX) for name in gold.parameters(table)} == set(table.inputs)


def test_a_function_that_does_not_read_its_inputs_is_refused() -> None:
    declared = tables.gold("daily_sales")
    values = {name: getattr(declared, name) for name in declared.__dataclass_fields__}
    with pytest.raises(ContractError, match=r"'order_lines' is no input; input 'orders' is not read"):
        gold.parameters(Table(**{**values, "inputs": ("orders",)}))


@pytest.mark.parametrize("table", STORED, ids=lambda table: table.name)
def test_a_gold_function_gives_the_declared_columns(table: Table, spark: SparkSession) -> None:
    frames = {name: _empty(spark, name) for name in gold.parameters(table)}
    made = gold.transform(table)(**frames)
    assert {field.name: field.dataType.simpleString().upper() for field in made.schema} == {c.name: c.type for c in table.columns}
    for name, day in gold.sliced_by(table).items():
        assert table.slice
        assert dict(frames[name].selectExpr(f"{day} AS day").dtypes)["day"].upper() == table.column(table.slice).type


def _empty(spark: SparkSession, name: str) -> DataFrame:
    source = name.removesuffix(gold.HISTORY_SUFFIX)
    if source != name:
        columns = ", ".join(f"`{c.name}` {c.type}" for c in history_view_columns(tables.source(source)))
        return spark.createDataFrame([], columns)
    declared = {table.name: table for table in (*tables.SOURCES, *tables.GOLD)}
    return spark.createDataFrame([], declared[name].schema_ddl())
