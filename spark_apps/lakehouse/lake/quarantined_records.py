"""The quarantined records as landed, read by Spark: for records too large for `silver.quarantine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import KAFKA_HEADERS, Table
from lakehouse.lake import epochs, quarantine_counts, storage

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_RECORD = ("topic", "partition", "offset", "sha256")
_NO_EPOCH = "%no epoch header%"  # in the detail of a record without an epoch header


def as_landed(spark: SparkSession, table: Table, held: DataFrame, version: int) -> DataFrame:
    """The distinct records of these rows, from bronze at that version, or from quarantine if bronze no longer has them.

    Quarantine stores neither headers nor epoch: the epoch is 1 while the lake has had only one, otherwise such a record has none.
    """
    span = held.agg(F.min("offset").alias("first"), F.max("offset").alias("last")).first()
    assert span is not None  # an aggregate without groups is always one row
    own = storage.read_bronze(spark, version).where(F.col("source_table") == table.name)
    # As literals, so that Delta skips most files. By content too: a recreated topic restarts its offsets at 0.
    near = own.where(F.col("offset").between(span["first"], span["last"])).withColumn("sha256", F.sha2("value", 256))
    found = near.join(held.select(*_RECORD).distinct(), on=list(_RECORD), how="left_semi").dropDuplicates(list(_RECORD))
    source = epochs.source_identity(spark)
    only_epoch = 1 if source is None or source.epoch == 1 else None
    missing = held.join(found, on=list(_RECORD), how="left_anti").dropDuplicates(list(_RECORD))
    kept = missing.select(
        *("source_table", "topic", "partition", "offset", "key", "value", "sha256"),
        _only(only_epoch).alias("epoch"),
    )
    return found.unionByName(kept, allowMissingColumns=True)


def with_epoch(spark: SparkSession, table: Table, held: DataFrame) -> DataFrame:
    """The waiting records of these rows with `headers` and `epoch`, which give their positions.

    The epoch is NULL if the record had none, or if it is no longer known.
    """
    held = held.where(quarantine_counts.CAN_WAIT)
    source = epochs.source_identity(spark)
    if source is not None and source.epoch > 1:
        return as_landed(spark, table, held, storage.bronze_version(spark))
    # Does not read bronze: each refine calls this while any record waits.
    return held.withColumns({"headers": F.lit(None).cast(KAFKA_HEADERS), "epoch": _only(1)})


def _only(epoch: int | None) -> Column:
    return F.when(~F.coalesce(F.col("detail").like(_NO_EPOCH), F.lit(False)), F.lit(epoch).cast("INT"))
