"""Replacement of a source table's stored changes in one commit, against the version it was computed from.

The same numbers are taken as by `storage.merge_silver`: of all that is made for one version of the stored changes, one is committed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.lake import storage
from lakehouse.spark import delta

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

GONE = "_is_gone"


class MovedError(storage.StorageError):
    """Another writer has changed the stored changes since the version that was named; nothing was written."""


def replace_all(spark: SparkSession, table: Table, rows: DataFrame, read_at: int, checkpoint: Mapping[str, Any]) -> None:
    """Replace all stored changes of a table, which are at version `read_at`: readers see the old ones until the new ones are whole.

    The commit carries the checkpoint, which must not be beyond what the rows were made from.
    """
    stored = platform_tables.stored(table)
    _check(spark, table, read_at)
    token = secrets.token_hex(16)
    try:
        with storage.only_once(spark, storage.writer_of(table), read_at + 1, {**checkpoint, "token": token}):
            storage.replace_where(spark, stored, rows, "true")
    except Exception as error:  # see delta: its class depends on the kind of session
        if delta.is_overtaken(error):
            raise _moved(table, read_at) from error
        raise
    # Delta skips a write whose number is taken, without an error, and an INSERT tells nothing of itself: the token does.
    commits = spark.sql(f"DESCRIBE HISTORY {stored.full_name} LIMIT 20").where(f"userMetadata LIKE '%{token}%'")
    if commits.isEmpty():
        raise _moved(table, read_at)


def replace_some(spark: SparkSession, table: Table, rows: DataFrame, read_at: int, checkpoint: Mapping[str, Any]) -> None:
    """Write these rows by identity into the stored changes, which are at version `read_at`, and remove those with `_is_gone`.

    The commit carries the checkpoint, as that of `replace_all` does.
    """
    stored = platform_tables.stored(table)
    storage.conform(rows.drop(GONE), stored)
    _check(spark, table, read_at)
    rows.createOrReplaceTempView("ebap_anew")
    same = " AND ".join(f"t.`{name}` = s.`{name}`" for name in stored.key)
    merge = (
        f"MERGE INTO {stored.full_name} t USING ebap_anew s ON {same} WHEN MATCHED AND s.{GONE} THEN DELETE "
        f"WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED AND NOT s.{GONE} THEN INSERT *"
    )
    try:
        with storage.only_once(spark, storage.writer_of(table), read_at + 1, checkpoint):
            counted = spark.sql(merge).first()
    except Exception as error:  # see delta: its class depends on the kind of session
        if delta.is_overtaken(error):
            raise _moved(table, read_at) from error
        raise
    if counted is None or counted["num_affected_rows"] == 0:
        raise _moved(table, read_at)


def _check(spark: SparkSession, table: Table, read_at: int) -> None:
    if storage.silver_version(spark, table) != read_at:
        raise _moved(table, read_at)


def _moved(table: Table, read_at: int) -> MovedError:
    return MovedError(
        f"{platform_tables.stored(table).full_name} is no longer at version {read_at}: a run of {table.name} was first; run it again"
    )
