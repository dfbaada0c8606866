"""Replacement of a source table's stored changes in one commit, based on the version it was computed from.

It uses the same commit numbers as `storage.merge_silver`: only one of the commits computed from a version succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.lake import commits, storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

IS_DELETED = "_is_deleted"


def replace_all(spark: SparkSession, table: Table, rows: DataFrame, read_at: int, checkpoint: Mapping[str, Any]) -> None:
    """Replace all stored changes of a table, computed from version `read_at`: readers see the old ones until the commit.

    The commit carries the checkpoint, which must not be beyond the rows' input. ConflictError: see `commits.commit_once`.
    """
    stored = platform_tables.stored(table)
    insert = storage.replacing(spark, stored, rows, "true")
    commits.commit_once(spark, stored, insert, read_at=read_at, writer=platform_tables.writer_of(table), checkpoint=checkpoint)


def replace_some(spark: SparkSession, table: Table, rows: DataFrame, read_at: int, checkpoint: Mapping[str, Any]) -> None:
    """Write these rows by identity into the stored changes at version `read_at`, and delete those with `_is_deleted`.

    The commit carries the checkpoint, as in `replace_all`.
    """
    stored = platform_tables.stored(table)
    storage.conform(rows.drop(IS_DELETED), stored)
    rows.createOrReplaceTempView("ebap_replacement")
    same = " AND ".join(f"t.`{name}` = s.`{name}`" for name in stored.key)
    merge = (
        f"MERGE INTO {stored.full_name} t USING ebap_replacement s ON {same} WHEN MATCHED AND s.{IS_DELETED} THEN DELETE "
        f"WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED AND NOT s.{IS_DELETED} THEN INSERT *"
    )
    commits.commit_once(spark, stored, merge, read_at=read_at, writer=platform_tables.writer_of(table), checkpoint=checkpoint)
