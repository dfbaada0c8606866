"""Repeats of events: within a round, and of what is stored already; a repeat of a clamped event is found for a day.

A repeat has the instant of the first one, so that it is looked for in the files of that minute alone. Only a clamped event has another
instant than its repeat: the clamped ones of a day are looked through too, of which there are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.contract import Table

_MINUTE_US = 60 * 1_000_000
# More ranges than this are merged to the hours that they are in: each is a condition for every file.
_MOST_RANGES = 60
_CLAMPED_MINUTES = 24 * 60


def by_partition(events: DataFrame) -> dict[str, int]:
    """Number of events by Kafka partition."""
    return {str(row.kafka_partition): row["count"] for row in events.groupBy("kafka_partition").count().collect()}


def without(spark: SparkSession, events: DataFrame, table: Table) -> DataFrame:
    """The events that are not stored, each once: of those with one id, the first that Kafka received."""
    first = events.selectExpr("*", "row_number() OVER (PARTITION BY event_id ORDER BY kafka_at, kafka_partition, kafka_offset) AS nth")
    minutes = [row.minute for row in events.selectExpr(f"unix_micros(event_at) DIV {_MINUTE_US} AS minute").distinct().collect()]
    oldest = f"timestamp_micros({(min(minutes, default=0) - _CLAMPED_MINUTES) * _MINUTE_US})"
    looked_at = f"({within(minutes)}) OR (is_clamped AND event_at >= {oldest})"
    stored = spark.table(table.full_name).where(looked_at).select("event_id")
    return first.where("nth = 1").drop("nth").join(stored, "event_id", "left_anti")


def within(minutes: Sequence[int]) -> str:
    """SQL: `event_at` is in one of these minutes since 1970; with many ranges of them, in one of their hours."""
    ranges = _merged([(minute, minute + 1) for minute in sorted(minutes)])
    if len(ranges) > _MOST_RANGES:
        ranges = _merged([(low // 60 * 60, -(-high // 60) * 60) for low, high in ranges])
    terms = [
        f"event_at >= timestamp_micros({low * _MINUTE_US}) AND event_at < timestamp_micros({high * _MINUTE_US})" for low, high in ranges
    ]
    return " OR ".join(f"({term})" for term in terms) or "false"


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found
