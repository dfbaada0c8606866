"""Stored schema of a silver table against its declaration: what is applied automatically, and what needs a rebuild.

New columns are added and wider types applied; a column widened by the source stays so until the declaration follows. Rows written with
another key, kind of history or set of tracked columns cannot be mixed: the shape they were written with is stored as a table property, and
a write with any other is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.contract import Table, is_widening
from lakehouse.lake import commits, ddl

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def effective(spark: SparkSession, table: Table) -> Table:
    """The declaration, with the type of each column that is stored wider."""
    return _effective(table, types(spark, platform_tables.stored(table)))


def judged(spark: SparkSession, table: Table) -> tuple[Table, str | None]:
    """The effective declaration, and why the stored table cannot take changes by it; None if it can."""
    stored = platform_tables.stored(table)
    return judge(table, types(spark, stored), _recorded(spark, stored))


def judge(table: Table, given: Mapping[str, str], recorded: str | None) -> tuple[Table, str | None]:
    """The same from the stored columns' types by name, and from the recorded shape, if there is one."""
    made = _effective(table, given)
    faults = _faults(recorded, given, made)
    if not faults:
        return made, None
    return made, (
        f"{table.full_name} was made by another declaration: {'; '.join(faults)}. Nothing is written. "
        f"`python -m lakehouse rebuild {table.name}` rebuilds it from bronze"
    )


def _effective(table: Table, given: Mapping[str, str]) -> Table:
    columns = [
        replace(column, type=given[column.name]) if is_widening(column.type, given.get(column.name, "")) else column
        for column in table.columns
    ]
    return replace(table, columns=tuple(columns))


def types(spark: SparkSession, table: Table) -> dict[str, str]:
    """The types of a stored table's columns, written as in declarations."""
    return {field.name: as_declared(field.dataType.simpleString()) for field in spark.read.table(table.full_name).schema.fields}


def as_declared(simple: str) -> str:
    """Spark's name of a type, written as in declarations."""
    return simple.upper().replace(" ", "")


def widen(spark: SparkSession, table: Table, column: str, type_: str) -> bool:
    """Widen a stored column to that type; whether it was narrower."""
    stored = platform_tables.stored(table)
    if not is_widening(types(spark, stored)[column], type_):
        return False
    with commits.commit(spark, stored.full_name):
        spark.sql(f"ALTER TABLE {stored.full_name} ALTER COLUMN `{column}` TYPE {type_}")
    return True


def _faults(recorded: str | None, given: Mapping[str, str], table: Table) -> list[str]:
    faults = differences(recorded, table) if recorded else []
    faults += [
        f"column {column.name} is stored as {given[column.name]} and declared {column.type}"
        for column in table.columns
        if column.name in given and given[column.name] != column.type
    ]
    return faults + [f"column {column.name} is declared, but not stored yet" for column in table.columns if column.name not in given]


def differences(recorded: str, table: Table) -> list[str]:
    """Differences between a declaration and the recorded shape, except new columns."""
    was, now = json.loads(recorded), json.loads(ddl.shape(table))
    known = {*was["key"], *was["tracked"], *was["untracked"]}
    faults = [f"{what} was {_listed(was[what])} and is {_listed(now[what])}" for what in ("key", "history") if was[what] != now[what]]
    tracked = [name for name in now["tracked"] if name in known]
    removed = sorted(known - {*now["key"], *now["tracked"], *now["untracked"]})
    if removed:
        faults.append(f"column {', '.join(removed)} is no longer declared")
    elif set(tracked) != set(was["tracked"]) and was["key"] == now["key"]:
        faults.append(f"tracked columns were {_listed(was['tracked'])} and are {_listed(tracked)}")
    return faults


def has_columns(spark: SparkSession, table: Table) -> bool:
    """Whether a stored table has exactly the declared columns."""
    return types(spark, table) == {column.name: column.type for column in table.columns}


def replace_whole(rows: DataFrame, table: Table) -> None:
    """Replace a stored table's rows and columns by these rows with the declared columns, in one commit."""
    from pyspark.sql import functions as F  # the rest of the module runs without Spark

    documented = [F.col(column.name).alias(column.name, metadata={"comment": column.doc}) for column in table.columns]
    writer = rows.select(*documented).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.partitionBy("_last").saveAsTable(table.full_name)


def remember(spark: SparkSession, table: Table) -> None:
    """Store the declared shape with the stored table, if it differs."""
    stored = platform_tables.stored(table)
    if _recorded(spark, stored) != ddl.shape(table):
        with commits.commit(spark, stored.full_name):
            spark.sql(f"ALTER TABLE {stored.full_name} SET TBLPROPERTIES ('{ddl.SHAPE}' = {ddl.quote(ddl.shape(table))})")


def fitted(rows: DataFrame, table: Table) -> DataFrame:
    """Rows cast to the declared types where they are wider; a value that does not fit is an error, never NULL."""
    from pyspark.sql import functions as F

    declared = {column.name: column.type for column in table.columns}
    given = {field.name: as_declared(field.dataType.simpleString()) for field in rows.schema.fields}
    wider = [name for name in given if is_widening(declared.get(name, ""), given[name])]
    return rows.withColumns({name: F.col(name).cast(declared[name]) for name in wider}) if wider else rows


def _recorded(spark: SparkSession, stored: Table) -> str | None:
    properties = spark.sql(f"SHOW TBLPROPERTIES {stored.full_name}").collect()
    return next((row["value"] for row in properties if row["key"] == ddl.SHAPE), None)


def _listed(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "none"
