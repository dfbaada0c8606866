"""Kafka records as bronze rows: everything as received, plus the parsed fields that give a change its position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.platform_tables import CHANGES, EPOCH_HEADER, TOPIC_PREFIX

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_PLACE = "op STRING, source STRUCT<lsn: BIGINT, sequence: STRING, txId: BIGINT, ts_us: BIGINT>"


def gathered(records: DataFrame, landed_at: Column) -> DataFrame:
    """The rows of `placed` in one task: a batch writes one file per partition and shuffles nothing. For batches of a few thousand rows."""
    return placed(records, landed_at).coalesce(1)


def placed(records: DataFrame, landed_at: Column) -> DataFrame:
    """Rows of `bronze.changes` from Kafka records with headers; a field that cannot be read is NULL, and no record is dropped."""
    source_table = F.expr(f"substring(topic, {len(TOPIC_PREFIX) + 1})")
    place = F.from_json(F.col("value").cast("string"), _PLACE)
    epoch = F.expr(f"try_cast(CAST(element_at(filter(headers, h -> h.key = '{EPOCH_HEADER}'), -1).value AS STRING) AS INT)")
    rows = records.select(
        source_table.alias("source_table"),
        F.to_date(landed_at).alias("_landed_on"),
        landed_at.alias("_landed_at"),
        "topic",
        "partition",
        "offset",
        F.col("timestamp").alias("kafka_at"),
        "key",
        "value",
        "headers",
        epoch.alias("epoch"),
        place.alias("place"),
    )
    parsed = rows.select(
        "*",
        F.col("place.op").alias("op"),
        position(F.col("place.op"), F.col("place.source.lsn"), F.col("place.source.sequence")).alias("lsn"),
        F.col("place.source.sequence").alias("sequence"),
        F.col("place.source.txId").alias("txid"),
        F.timestamp_micros("place.source.ts_us").alias("commit_at"),
    )
    return parsed.select(*CHANGES.column_names)


def position(op: Column, lsn: Column, sequence: Column) -> Column:
    """Position of a record in the source's log. A read of an incremental snapshot has no lsn: it is placed at the last commit sent."""
    last_commit = F.when(sequence.startswith('["'), F.split_part(sequence, F.lit('"'), F.lit(2)).try_cast("BIGINT"))
    return F.coalesce(lsn, F.when(op == "r", last_commit))
