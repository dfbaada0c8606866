"""The live lane: every two seconds what Kafka has received since, added to the running windows and set in Redis.

Its state is in memory and is rebuilt at a start from the minutes in Kafka that it covers: it has no checkpoint that could disagree with
the view.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.live.view import READY, REFILLING, View
from lakehouse.settings import Settings
from lakehouse.spark import streaming
from lakehouse.transforms.live import records, windows
from lakehouse.transforms.live.windows import Row, Running

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

EVENTS, TELEMETRY = tables.live("events"), tables.live("telemetry")
_TRIGGER_S = 2
# Minutes of Kafka from which the windows are rebuilt: a window, the time it is waited for, and a margin until its final values are stored.
_COVERED_S = windows.WINDOW_S + windows.GRACE_S + 240
# Counts by second are complete once nothing of the second can be in a later batch.
_SECONDS_KEPT = 120
_RECENT_PER_SECOND = 10
_RECENT_S = 10
_MARGIN_S = 300
# They are Python dicts for the moment of a batch: a tenth of a gigabyte.
_MOST_ROWS = 50_000
_CHECK_S = 5.0
_SHOWN = ("event_at", "event_type", "region", "country", "device", "page", "product_id")
_COLUMNS = (
    "reason IS NULL AS is_read",
    "unix_micros(kafka_at) AS received_us",
    "unix_micros(events.event_at) AS at_us",
    "events.event_id",
    "events.visitor_id",
    "events.is_clamped",
    "events.is_late OR telemetry.is_late AS is_late",
    *(f"events.{name}" for name in _SHOWN if name != "event_at"),
    "telemetry.service",
    "telemetry.region AS service_region",
    "unix_seconds(telemetry.measured_at) AS measured_s",
    *(f"telemetry.{name}" for name in ("requests", "errors", *windows.BUCKETS)),
)


class LiveLane:
    """The running windows and their view. `batch` is called by the query's thread, the rest by others."""

    def __init__(self, view: View, since_s: int) -> None:
        self._view = view
        self._running = Running(since_s)
        self._seconds: Counter[int] = Counter()
        self._shown: Counter[int] = Counter()
        self._unset: set[int] = set()
        self._lock = threading.Lock()
        self._checked_at = 0.0
        self._lost = threading.Event()
        self._lost.set()
        self._has_caught_up = False
        self._began_s = time.time()

    def batch(self, frame: DataFrame, _: int) -> None:
        """Take the records of a batch and set what they changed. A Redis that is away gets them with a later batch."""
        rows = frame.selectExpr(*_COLUMNS).toArrow().to_pylist()
        with self._lock:
            recent = self._add(rows)
            newest_us = max((row["received_us"] for row in rows), default=0)
            self._has_caught_up = self._has_caught_up or newest_us >= self._began_s * 1_000_000
            # Until then the windows have less than what an earlier run may have set.
            if self._is_rebuilt():
                self._publish(recent)

    def settle(self, rows: Iterable[Row], before_s: int) -> None:
        """Set the values of windows that have become final, and drop those that end at or before."""
        final = windows.by_window(rows)
        with self._lock:
            self._running.drop_before(before_s)
            self._attempt(lambda: self._view.publish(final, is_final=True))

    def refill(self, stored: Iterable[Row]) -> None:
        """Set everything again in a view that has lost it: the stored windows, then the running ones."""
        final = windows.by_window(stored)
        with self._lock:
            if final:
                self._running.drop_before(max(final) + windows.WINDOW_S)
            self._running.change_all()
            self._unset |= set(self._seconds)
            is_set = self._attempt(lambda: self._view.publish(final, is_final=True)) and self._publish([])
            if is_set and self._is_rebuilt() and self._attempt(lambda: self._view.set_state(READY)):
                self._lost.clear()

    def _is_rebuilt(self) -> bool:
        """Whether the running windows are known: records of after the start were read, or there are none for so long that none are left."""
        return self._has_caught_up or time.time() - self._began_s > _COVERED_S / 10

    def lose(self) -> None:
        """Have the view refilled: what became final may not have been set."""
        self._lost.set()

    def has_lost_view(self) -> bool:
        """Whether the view is to be refilled."""
        return self._lost.is_set()

    def look(self) -> None:
        """Look every few seconds whether Redis still has the view."""
        if time.monotonic() - self._checked_at < _CHECK_S:
            return
        self._checked_at = time.monotonic()

        def check() -> None:
            if not self._view.is_filled():
                self._lost.set()
                self._view.set_state(REFILLING)

        self._attempt(check)

    def _add(self, rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        recent: list[dict[str, Any]] = []
        newest = max((row["received_us"] for row in rows), default=0) // 1_000_000
        # Nothing changes them any more; where the final lane is away they would stay for ever.
        self._running.drop_before(windows.final_before(newest - _MARGIN_S))
        for row in rows:
            if not row["is_read"]:
                continue
            if row["service"] is not None:
                if not row["is_late"]:
                    counts = tuple(row[name] for name in ("requests", "errors", *windows.BUCKETS))
                    self._running.add_telemetry(row["measured_s"], row["service"], row["service_region"], counts)
                continue
            second = row["received_us"] // 1_000_000
            self._seconds[second] += 1
            self._unset.add(second)
            if not row["is_late"]:
                at_s, is_clamped = row["at_us"] / 1_000_000, row["is_clamped"]
                self._running.add_event(at_s, row["region"], row["visitor_id"], row["event_id"], is_clamped=is_clamped)
            self._shown[second] += 1
            if self._shown[second] <= _RECENT_PER_SECOND and second >= newest - _RECENT_S:
                recent.append({"event_at": row["at_us"] / 1_000_000, **{name: row[name] for name in _SHOWN if name != "event_at"}})
        for second in [second for second in self._seconds if second < newest - _SECONDS_KEPT]:
            del self._seconds[second], self._shown[second]
        # After a Redis that was away for longer: those seconds are not shown.
        self._unset &= self._seconds.keys()
        return recent

    def _publish(self, recent: list[dict[str, Any]]) -> bool:
        changed = self._running.take_changed()
        seconds = {second: self._seconds[second] for second in self._unset if second in self._seconds}
        if self._attempt(lambda: self._view.publish(changed, per_second=seconds, recent=recent)):
            self._unset.clear()
            return True
        self._running.change_all()
        return False

    def _attempt(self, action: Callable[[], None]) -> bool:
        from redis import RedisError

        try:
            action()
        except RedisError as error:
            self._lost.set()
            print(f"activity: Redis does not answer ({type(error).__name__}: {error}): the view is set again once it does", file=sys.stderr)
            return False
        return True


def start(spark: SparkSession, settings: Settings, lane: LiveLane, since_s: int) -> StreamingQuery:
    """Start the query from what Kafka received since an instant, in seconds since 1970."""
    checkpoint = settings.home_dir / "tmp" / "activity"
    # Offsets of an earlier run would skip what the windows in memory are made of.
    shutil.rmtree(checkpoint, ignore_errors=True)
    reader = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_bootstrap)
        .option("subscribe", f"{EVENTS.topic},{TELEMETRY.topic}")
        .option("startingTimestamp", since_s * 1000)
        .option("startingOffsetsByTimestampStrategy", "latest")
        .option("maxOffsetsPerTrigger", min(settings.max_offsets_per_trigger, _MOST_ROWS))
        # A view: what Kafka no longer has is no longer shown either.
        .option("failOnDataLoss", "false")
        .option("kafka.fetch.max.wait.ms", "50")
    )
    read = records.read(reader.load(), (EVENTS, TELEMETRY), settings.max_event_kb * 1024)
    observed = read.observe(streaming.OBSERVED, F.min("kafka_at").cast("string").alias("oldest"))
    writer = observed.writeStream.foreachBatch(lane.batch).option("checkpointLocation", str(checkpoint)).queryName("activity")
    return writer.trigger(processingTime=f"{_TRIGGER_S} seconds").start()


def covered_since() -> int:
    """The instant from which a start rebuilds the windows: the start of one, in seconds since 1970."""
    return windows.start_of(time.time() - _COVERED_S)
