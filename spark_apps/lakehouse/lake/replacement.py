"""Replacement of a source table's stored changes in one commit, against the version it was computed from.

The same numbers are taken as by `storage.merge_silver`: of all that is made for one version of the stored changes, one is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.lake import commits, storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

GONE = "_is_gone"


def replace_all(spark: SparkSession, table: Table, rows: DataFrame, read_at: int, checkpoint: Mapping[str, Any]) -> None:
    """Replace all stored changes of a table, which are at version `read_at`: readers see the old ones until the new ones are whole.

    The commit carries the checkpoint, which must not be beyond what the rows were made from. ConflictError: see `commits.commit_once`.
    """
    stored = platform_tables.stored(table)
    insert = storage.replacing(spark, stored, rows, "true")
    commits.commit_once(spark, stored, insert, read_at=read_at, writer=platform_tables.writer_of(table), checkpoint=checkpoint)


def replace_some(spark: SparkSession, table: Table, rows: DataFrame, read_at: int, checkpoint: Mapping[str, Any]) -> None:
    """Write these rows by identity into the stored changes, which are at version `read_at`, and remove those with `_is_gone`.

    The commit carries the checkpoint, as that of `replace_all` does.
    """
    stored = platform_tables.stored(table)
    storage.conform(rows.drop(GONE), stored)
    rows.createOrReplaceTempView("ebap_anew")
    same = " AND ".join(f"t.`{name}` = s.`{name}`" for name in stored.key)
    merge = (
        f"MERGE INTO {stored.full_name} t USING ebap_anew s ON {same} WHEN MATCHED AND s.{GONE} THEN DELETE "
        f"WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED AND NOT s.{GONE} THEN INSERT *"
    )
    commits.commit_once(spark, stored, merge, read_at=read_at, writer=platform_tables.writer_of(table), checkpoint=checkpoint)
