"""Gold's SQL over small tables that a test draws, on either engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.contract import Table
from lakehouse.delta.schema import quoted
from lakehouse.gold import engine, queries, readable, translation
from lakehouse.transforms.gold import sql_files
from lakehouse.transforms.records import arrow

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# By the name that SQL reads it by: column names, and rows. Columns that are not named are NULL.
Drawn = Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]]
Row = dict[str, Any]


def on_duckdb(table: Table, drawn: Drawn) -> list[Row]:
    """The rows that DuckDB makes of the table, in the declared types."""
    query = queries.select(table)
    with closing(engine.connect()) as con:
        for (schema, name), rows in _inputs(query, drawn).items():
            con.register(f"drawn_{schema}_{name}", rows)
            con.execute(f"CREATE VIEW {schema}.{quoted(name)} AS FROM drawn_{schema}_{name}")
        made: list[Row] = con.sql(query.duckdb).to_arrow_table().cast(arrow.schema(table)).to_pylist()
        return made


def on_spark(spark: SparkSession, table: Table, drawn: Drawn) -> list[Row]:
    """The rows that Spark makes of the table; their types must be the declared ones, or narrower."""
    for (schema, name), rows in _inputs(queries.select(table), drawn).items():
        spark.createDataFrame(rows).createOrReplaceTempView(f"drawn_{schema}_{name}")
    frame = spark.sql(translation.renamed(sql_files.select(table), lambda name: f"drawn_{'_'.join(name)}"))
    made: list[Row] = frame.toArrow().cast(arrow.schema(table)).to_pylist()
    return made


def _inputs(query: readable.Query, drawn: Drawn) -> dict[readable.Name, pa.Table]:
    unread = {name for name in drawn if tuple(name.split(".")) not in query.reads}
    assert not unread, f"{unread} are drawn and never read"
    made = {}
    for (schema, name), columns in query.reads.items():
        types = {column: readable.columns()[schema][name][column] for column in columns}
        made[schema, name] = _table(types, *drawn.get(f"{schema}.{name}", ((), ())))
    return made


def _table(types: Mapping[str, str], names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    columns = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
    nothing = [None] * len(rows)
    return pa.table({name: pa.array(list(columns.get(name, nothing)), arrow.arrow_type(type_)) for name, type_ in types.items()})
