"""The records that wait in quarantine, as they landed: read by Spark, for what is too large for `silver.quarantine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import KAFKA_HEADERS, Table
from lakehouse.lake import epochs, quarantine_counts, storage

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_RECORD = ("topic", "partition", "offset", "sha256")
_NO_EPOCH = "%no epoch header%"  # what the detail of a record says that came without one


def as_landed(spark: SparkSession, table: Table, held: DataFrame, version: int) -> DataFrame:
    """The records of these rows, each once, as bronze has them at that version; those it no longer has from what quarantine keeps.

    Quarantine keeps neither headers nor epoch: the epoch is known while the lake has had only one, else such a record has none.
    """
    span = held.agg(F.min("offset").alias("first"), F.max("offset").alias("last")).first()
    assert span is not None  # an aggregate without groups is always one row
    own = storage.read_bronze(spark, version).where(F.col("source_table") == table.name)
    # As literals, by which Delta leaves most files unread. The bytes too: a topic that was made anew counts from 0 again.
    near = own.where(F.col("offset").between(span["first"], span["last"])).withColumn("sha256", F.sha2("value", 256))
    found = near.join(held.select(*_RECORD).distinct(), on=list(_RECORD), how="left_semi").dropDuplicates(list(_RECORD))
    source = epochs.source_identity(spark)
    only_epoch = 1 if source is None or source.epoch == 1 else None
    gone = held.join(found, on=list(_RECORD), how="left_anti").dropDuplicates(list(_RECORD))
    kept = gone.select(
        *("source_table", "topic", "partition", "offset", "key", "value", "sha256"),
        _only(only_epoch).alias("epoch"),
    )
    return found.unionByName(kept, allowMissingColumns=True)


def with_epoch(spark: SparkSession, table: Table, held: DataFrame) -> DataFrame:
    """The records of those rows of quarantine that can wait, with `headers` and `epoch`: what tells their places.

    The epoch is NULL of a record that came without one, or of which nobody knows it any more.
    """
    held = held.where(quarantine_counts.CAN_WAIT)
    source = epochs.source_identity(spark)
    if source is not None and source.epoch > 1:
        return as_landed(spark, table, held, storage.bronze_version(spark))
    # Without a look at bronze: each refine asks while anything waits.
    return held.withColumns({"headers": F.lit(None).cast(KAFKA_HEADERS), "epoch": _only(1)})


def _only(epoch: int | None) -> Column:
    return F.when(~F.coalesce(F.col("detail").like(_NO_EPOCH), F.lit(False)), F.lit(epoch).cast("INT"))
