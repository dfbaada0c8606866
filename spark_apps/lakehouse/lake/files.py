"""Data files of stored tables: number and sizes, merging of small ones, deletion of unneeded ones.

The content of a table is unchanged; only `remove_landed_before` deletes rows, and only from bronze.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import retry
from lakehouse.lake import commits, storage
from lakehouse.spark import delta

if TYPE_CHECKING:
    from datetime import date

    from pyspark.sql import SparkSession

# Files of this size are not merged. Bronze is read by its newest hour: small results of a compaction are merged again an hour later, so the
# file that reaches into that hour is at most a little larger than this plus an hour's landing. Merging all would read each byte hourly.
SMALL_BYTES = 16 * 2**20
_TARGET_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Files:
    """How many files a table has, their bytes, and how many of them are small."""

    count: int
    bytes: int
    small: int


def of(spark: SparkSession, full_name: str) -> Files:
    """Counts of the files with rows in the newest version; only file footers are read."""
    each = f"SELECT DISTINCT _metadata.file_path, _metadata.file_size AS size FROM {full_name}"
    counted = f"SELECT count(*) AS files, coalesce(sum(size), 0) AS bytes, count_if(size < {SMALL_BYTES}) AS small FROM ({each})"
    row = spark.sql(counted).first()
    assert row is not None  # aggregates without groups are always one row
    return Files(row["files"], row["bytes"], row["small"])


def join_small(spark: SparkSession, full_name: str) -> bool:
    """Merge small files and those with many deleted rows, within each partition; whether any were merged.

    Raises ConflictError without a change if another writer concurrently changed rows of the same files.
    """
    sizes = {"minFileSize": SMALL_BYTES, "maxFileSize": _TARGET_BYTES}
    configured = delta.configured(spark, {f"spark.databricks.delta.optimize.{name}": str(size) for name, size in sizes.items()})
    with configured, commits.commit(spark, full_name):
        row = spark.sql(f"OPTIMIZE {full_name}").select("metrics.numFilesRemoved").first()
    return bool(row and row["numFilesRemoved"])


def delete_unneeded(spark: SparkSession, full_name: str) -> bool:
    """Delete files that no version of the table's last `retention_h` hours needs, and files left by crashed writers; whether that was done.

    The hours are a property of the table: Delta ignores a value in the statement.
    """
    # Not logged: readers would see another version without changes.
    with delta.configured(spark, {"spark.databricks.delta.vacuum.logging.enabled": "false"}):
        try:
            spark.sql(f"VACUUM {full_name}")
        except Exception as error:  # see delta: its class depends on the kind of session
            if "MatchError" not in str(error) or "DeletionVectorDescriptor(i," not in str(error):
                raise
            _replace_inline_vectors(spark, full_name)
            return False
    return True


def _replace_inline_vectors(spark: SparkSession, full_name: str) -> None:
    """Rewrite the files whose deletion vectors are inline in the log, as an earlier release wrote them."""
    print(
        f"{full_name} has deletion vectors of an earlier release, on which VACUUM fails. Their files are rewritten; VACUUM succeeds once "
        "the old ones are past the table's retention",
        file=sys.stderr,
    )

    def purge() -> None:
        with commits.commit(spark, full_name):
            spark.sql(f"REORG TABLE {full_name} APPLY (PURGE)")

    retry(purge)


def remove_landed_before(spark: SparkSession, day: date) -> None:
    """Delete whole days from bronze; no file is rewritten."""
    with commits.commit(spark, storage.BRONZE):
        spark.sql(f"DELETE FROM {storage.BRONZE} WHERE _landed_on < DATE'{day}'")
