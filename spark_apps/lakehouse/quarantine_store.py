"""The records that wait in quarantine, as they landed, and what becomes of their rows when they were read again.

Beside `storage`, the one door: what replay alone reads and writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse import epochs, ledger, storage, waiting
from lakehouse.contract import KAFKA_HEADERS, Table

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_RECORD = ("topic", "partition", "offset", "sha256")
_NO_EPOCH = "%no epoch header%"  # what the detail of a record says that came without one


def rows(spark: SparkSession, table: Table, reason: str | None) -> DataFrame:
    """The rows of quarantine, replayed ones included, of each record of the table that waits (for that reason, if one is named)."""
    held = storage.read_quarantine(spark, table).where(waiting.CAN_WAIT)
    is_asked = F.col("replayed_at").isNull() & (F.lit(True) if reason is None else F.col("reason") == reason)
    return held.withColumn("_is_asked", F.max(is_asked).over(Window.partitionBy(*_RECORD))).where("_is_asked").drop("_is_asked")


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
    held = held.where(waiting.CAN_WAIT)
    source = epochs.source_identity(spark)
    if source is not None and source.epoch > 1:
        return as_landed(spark, table, held, storage.bronze_version(spark))
    # Without a look at bronze: each refine asks while anything waits.
    return held.withColumns({"headers": F.lit(None).cast(KAFKA_HEADERS), "epoch": _only(1)})


def _only(epoch: int | None) -> Column:
    return F.when(~F.coalesce(F.col("detail").like(_NO_EPOCH), F.lit(False)), F.lit(epoch).cast("INT"))


def settle(spark: SparkSession, table: Table, held: DataFrame, decoded: DataFrame) -> dict[str, int]:
    """Mark as replayed the rows whose record can be read, give the others today's reason; `replayed` and `waiting` records.

    A record that cannot be read keeps one row, the first that waits. Where nothing differs nothing is written.
    """
    judged = decoded.select(
        F.col("_topic").alias("topic"),
        F.col("_partition").alias("partition"),
        F.col("_offset").alias("offset"),
        F.sha2("_value_bytes", 256).alias("sha256"),
        F.col("_reason").alias("new_reason"),
        F.col("_detail").alias("new_detail"),
    )
    in_turn = Window.partitionBy(*_RECORD).orderBy(F.col("replayed_at").isNotNull(), "first_seen_at", "reason")
    numbered = held.join(judged, on=list(_RECORD), how="inner").withColumn("turn", F.row_number().over(in_turn))
    done = numbered.select(
        *ledger.QUARANTINE.key,
        *("sha256", "new_reason", "new_detail"),
        F.when(F.col("new_reason").isNull(), F.when(F.col("replayed_at").isNull(), "replay"))
        .when(F.col("turn") > 1, "remove")
        .when(~F.struct("reason", "detail").eqNullSafe(F.struct("new_reason", "new_detail")), "change")
        .alias("action"),
        (F.col("turn") == 1).alias("is_first"),
    )
    # Worked out first: it reads the table that is written.
    done = done.localCheckpoint()
    counted = done.agg(
        F.count("action").alias("actions"),
        F.count(F.when(F.col("is_first") & F.col("new_reason").isNull(), 1)).alias("replayed"),
        F.count(F.when(F.col("is_first") & F.col("new_reason").isNotNull(), 1)).alias("waiting"),
    ).first()
    assert counted is not None  # as above
    if counted["actions"]:
        _write(spark, table, done.where("action IS NOT NULL"))
    return {"replayed": counted["replayed"], "waiting": counted["waiting"]}


def _write(spark: SparkSession, table: Table, done: DataFrame) -> None:
    done.createOrReplaceTempView("ebap_settled")
    # The table as a literal: a partition of its own, in which runs of other tables do not write.
    own = f"q.source_table = '{table.name}'"
    same = " AND ".join([own, *(f"q.`{name}` = s.`{name}`" for name in (*ledger.QUARANTINE.key, "sha256"))])
    spark.sql(
        f"MERGE INTO {ledger.QUARANTINE.full_name} q USING ebap_settled s ON {same} WHEN MATCHED AND s.action = 'remove' THEN DELETE "
        "WHEN MATCHED AND s.action = 'replay' THEN UPDATE SET replayed_at = current_timestamp() "
        "WHEN MATCHED THEN UPDATE SET reason = s.new_reason, detail = s.new_detail, replayed_at = NULL"
    )
