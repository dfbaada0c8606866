"""The Iceberg tables of the live half, by Spark: created from their declarations, appended to with the position that a commit reached.

The position is in the summary of the commit's own snapshot, so that rows and position cannot come apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.lake.ddl import comment, quote
from lakehouse.live.position import KEY, NEWEST, furthest

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.contract import Table

_PROPERTIES = {
    "format-version": "2",
    # The rows of a commit come in the files that they should have.
    "write.distribution-mode": "none",
    "write.parquet.compression-codec": "zstd",
    # A commit a minute: each keeps a copy of the metadata file before it.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}


def create(spark: SparkSession, wanted: Sequence[Table] = tables.LIVE) -> None:
    """Create the namespace and those of the tables that do not exist."""
    spark.sql("CREATE NAMESPACE IF NOT EXISTS iceberg.ebap")
    for table in wanted:
        spark.sql(_statement(table))


def append(frame: DataFrame, table: Table, position: dict[str, Any]) -> None:
    """Append rows in one commit whose snapshot has this position, a JSON object."""
    # A file at a time: an open one for each partition would not fit the heap where clocks are of many days.
    rows = frame.select(*table.column_names).sortWithinPartitions(*(F.expr(_part(table, name)) for name in table.partition_by))
    rows.writeTo(table.full_name).option(f"snapshot-property.{KEY}", json.dumps(position, sort_keys=True)).append()


def update(spark: SparkSession, table: Table, values: dict[str, str], condition: str, position: dict[str, Any]) -> None:
    """Set columns to SQL expressions where the condition holds, by rewriting files, in one commit whose snapshot has this position."""
    # The option of a DataFrame's writer, for a statement.
    setting = f"spark.sql.iceberg.snapshot-property.{KEY}"
    spark.conf.set(setting, json.dumps(position, sort_keys=True))
    try:
        sets = ", ".join(f"`{name}` = {value}" for name, value in values.items())
        spark.sql(f"UPDATE {table.full_name} SET {sets} WHERE {condition}")
    finally:
        spark.conf.unset(setting)


def position(spark: SparkSession, table: Table) -> tuple[dict[str, Any], datetime | None]:
    """The position that the table has reached, and when the newest snapshot with one was committed; empty and None if none has."""
    found = spark.sql(
        f"SELECT summary['{KEY}'] AS position, committed_at FROM {table.full_name}.snapshots WHERE summary['{KEY}'] IS NOT NULL "
        f"ORDER BY committed_at DESC LIMIT {NEWEST}"
    ).collect()
    return furthest(row.position for row in found), found[0].committed_at.astimezone(UTC) if found else None


def size(spark: SparkSession, table: Table) -> dict[str, int]:
    """`rows` and `bytes` of the newest snapshot; 0 if there is none."""
    found = spark.sql(f"SELECT summary FROM {table.full_name}.snapshots ORDER BY committed_at DESC LIMIT 1").collect()
    summary = found[0].summary if found else {}
    return {"rows": int(summary.get("total-records", 0)), "bytes": int(summary.get("total-files-size", 0))}


def _part(table: Table, name: str) -> str:
    """SQL of a partition's value, in the order that the writer expects: all rows of one after the other."""
    return f"date({name})" if table.column(name).type == "TIMESTAMP" else name


def _statement(table: Table) -> str:
    columns = ",\n  ".join(f"`{c.name}` {c.type} COMMENT {quote(c.doc)}" for c in table.columns)
    parts = [f"days({name})" if table.column(name).type == "TIMESTAMP" else name for name in table.partition_by]
    options = ", ".join(f"{quote(key)} = {quote(value)}" for key, value in _PROPERTIES.items())
    # Unreadable records are bronze: they are kept as received.
    place = "\nLOCATION 's3://bronze/dead_letters'" if table is tables.live("dead_letters") else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {table.full_name} (\n  {columns}\n) USING iceberg\n"
        f"PARTITIONED BY ({', '.join(parts)}){place}\nCOMMENT {quote(comment(table))}\nTBLPROPERTIES ({options})"
    )
