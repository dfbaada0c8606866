"""The final values of windows, from the stored events and telemetry."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakehouse import tables
from lakehouse.transforms.live import windows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.contract import Table

EVENTS, TELEMETRY = tables.live("events"), tables.live("telemetry")


def final(spark: SparkSession, since_s: int, before_s: int) -> list[windows.Row]:
    """Rows of `windows` that start in [since_s, before_s), from the stored events and telemetry that are not late.

    Events of a person who was forgotten before that count, their visitor does not.
    """
    events = spark.sql(
        "SELECT window_start, coalesce(region, 'all') AS region, count(*) AS events, count(DISTINCT visitor_id) AS visitors "
        f"FROM ({_within(EVENTS, 'event_at', since_s, before_s)}) GROUP BY GROUPING SETS ((window_start, region), (window_start))"
    )
    counts = ("requests", "errors", *windows.BUCKETS)
    # A record that was sent twice counts once.
    seconds = (
        f"SELECT window_start, region, {', '.join(f'max({name}) AS {name}' for name in counts)} "
        f"FROM ({_within(TELEMETRY, 'measured_at', since_s, before_s)}) GROUP BY window_start, region, service, measured_at"
    )
    sums = ", ".join(f"sum({name}) AS {name}" for name in counts)
    telemetry = spark.sql(f"SELECT window_start, region, {sums} FROM ({seconds}) GROUP BY window_start, region")
    return _rows(events.collect(), telemetry.collect())


def _within(table: Table, at: str, since_s: int, before_s: int) -> str:
    start = f"timestamp_seconds(unix_seconds({at}) DIV {windows.WINDOW_S} * {windows.WINDOW_S})"
    span = f"{at} >= timestamp_seconds({since_s}) AND {at} < timestamp_seconds({before_s})"
    return f"SELECT *, {start} AS window_start FROM {table.full_name} WHERE {span} AND NOT is_late AND kafka_at IS NOT NULL"


def _rows(events: Collection[Any], telemetry: Collection[Any]) -> list[windows.Row]:
    counts: dict[tuple[datetime, str], list[windows.Counts]] = {}
    for row in telemetry:
        numbers = tuple(int(row[name]) for name in ("requests", "errors", *windows.BUCKETS))
        for region in (row.region, windows.ALL):
            counts.setdefault((row.window_start, region), []).append(numbers)
    seen = {(row.window_start, row.region): (row.events, row.visitors) for row in events}
    made = []
    for start, region in sorted({*counts, *seen}):
        number, visitors = seen.get((start, region), (0, 0))
        found = windows.values(visitors, counts.get((start, region), []))
        made.append((start, region, number, visitors, found.requests, found.errors, found.p95_ms))
    return made
