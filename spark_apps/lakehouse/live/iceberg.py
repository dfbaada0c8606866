"""The Iceberg tables of the live half, by Spark: created from their declarations, appended to with the position that a commit reached.

The position is in the summary of the commit's own snapshot, so that rows and position cannot come apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lakehouse import tables
from lakehouse.lake.ddl import comment, quote

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.contract import Table

_POSITION = "ebap.position"
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
    writer = frame.select(*table.column_names).writeTo(table.full_name)
    writer.option(f"snapshot-property.{_POSITION}", json.dumps(position, sort_keys=True)).option("fanout-enabled", "true").append()


def update(spark: SparkSession, table: Table, values: dict[str, str], condition: str, position: dict[str, Any]) -> None:
    """Set columns to SQL expressions where the condition holds, by rewriting files, in one commit whose snapshot has this position."""
    # The option of a DataFrame's writer, for a statement.
    setting = f"spark.sql.iceberg.snapshot-property.{_POSITION}"
    spark.conf.set(setting, json.dumps(position, sort_keys=True))
    try:
        sets = ", ".join(f"`{name}` = {value}" for name, value in values.items())
        spark.sql(f"UPDATE {table.full_name} SET {sets} WHERE {condition}")
    finally:
        spark.conf.unset(setting)


def position(spark: SparkSession, table: Table) -> dict[str, Any]:
    """The position of the newest snapshot that has one; empty if there is none."""
    found = spark.sql(
        f"SELECT summary['{_POSITION}'] AS position FROM {table.full_name}.snapshots WHERE summary['{_POSITION}'] IS NOT NULL "
        "ORDER BY committed_at DESC LIMIT 1"
    ).collect()
    return json.loads(found[0].position) if found else {}


def size(spark: SparkSession, table: Table) -> dict[str, int]:
    """`rows` and `bytes` of the newest snapshot; 0 if there is none."""
    found = spark.sql(f"SELECT summary FROM {table.full_name}.snapshots ORDER BY committed_at DESC LIMIT 1").collect()
    summary = found[0].summary if found else {}
    return {"rows": int(summary.get("total-records", 0)), "bytes": int(summary.get("total-files-size", 0))}


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
