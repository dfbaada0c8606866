"""Watching a streaming query: one structured log line a batch, and a clean stop between two batches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql.streaming import StreamingQuery

OBSERVED = "landed"
_POLL_S = 0.5
# How long a stop waits for the running batch; a batch cut short is replayed at the next start, with the same result.
_STOP_LIMIT_S = 60.0


def stop_file(settings: Settings) -> Path:
    """The stop request: land ends between two batches once it exists, and removes it when it starts."""
    return settings.control_dir / "land.stop"


def report_file(settings: Settings) -> Path:
    """What land last reported, for whoever asks how it is doing."""
    return settings.control_dir / "land.json"


def run_until_stopped(query: StreamingQuery, settings: Settings, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Report each batch until a stop is requested, then stop between batches; a failed query raises its error.

    `meanwhile` is called twice a second, so it must return at once.
    """
    settings.control_dir.mkdir(parents=True, exist_ok=True)
    stop_file(settings).unlink(missing_ok=True)
    reported = -1
    while not query.awaitTermination(_POLL_S):  # type: ignore[arg-type]  # seconds, and a float is taken
        reported = _report_batches(query, settings, reported)
        meanwhile()
        if stop_file(settings).exists():
            _stop_between_batches(query)
            _report_batches(query, settings, reported)
            stop_file(settings).unlink(missing_ok=True)
            return


def batch_report(progress: dict[str, Any], now: datetime) -> dict[str, Any]:
    """One line about one batch: rows, rates (records a second), duration and its phases (ms), lag in records and in seconds.

    The lag in seconds is how long the oldest record of the batch waited between Kafka and the end of the batch.
    """
    source = progress["sources"][0]
    oldest = (progress.get("observedMetrics") or {}).get(OBSERVED, {}).get("oldest")
    waited_s = (now - datetime.fromisoformat(oldest).astimezone(UTC)).total_seconds() if oldest else 0.0
    return {
        "event": "batch",
        "at": now.isoformat(timespec="milliseconds"),
        "batch": progress["batchId"],
        "records": progress["numInputRows"],
        "records_per_s": round(progress.get("processedRowsPerSecond") or 0.0, 1),
        "duration_ms": progress.get("batchDuration", 0),
        "phases_ms": progress.get("durationMs", {}),
        "lag_records": _behind(source),
        "lag_s": round(max(waited_s, 0.0), 3),
    }


def _report_batches(query: StreamingQuery, settings: Settings, reported: int) -> int:
    for progress in map(_as_dict, query.recentProgress):
        if progress["batchId"] > reported and progress["numInputRows"]:
            reported = progress["batchId"]
            line = json.dumps(batch_report(progress, _ended_at(progress)))
            print(line, flush=True)
            draft = report_file(settings).with_suffix(".draft")
            draft.write_text(line)
            draft.replace(report_file(settings))
    return reported


def _stop_between_batches(query: StreamingQuery) -> None:
    """Let the running batch end; under a backlog the next one has begun by then, and has written nothing yet."""
    limit = time.monotonic() + _STOP_LIMIT_S
    batch = _last_batch(query)
    while query.status["isTriggerActive"] and _last_batch(query) == batch and time.monotonic() < limit:
        time.sleep(0.02)
    query.stop()


def _last_batch(query: StreamingQuery) -> int:
    progress = query.lastProgress
    return -1 if progress is None else int(_as_dict(progress)["batchId"])


def _ended_at(progress: dict[str, Any]) -> datetime:
    began = datetime.fromisoformat(progress["timestamp"].replace("Z", "+00:00"))
    return datetime.fromtimestamp(began.timestamp() + progress.get("batchDuration", 0) / 1000, UTC)


def _as_dict(progress: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(progress.json) if hasattr(progress, "json") else progress
    return values


def _behind(source: dict[str, Any]) -> int:
    """Records in Kafka beyond the batch's end, over all partitions, when the batch was planned."""
    latest, end = (_offsets(source.get(name)) for name in ("latestOffset", "endOffset"))
    return sum(max(offset - end.get(place, 0), 0) for place, offset in latest.items())


def _offsets(text: Any) -> dict[tuple[str, str], int]:
    topics = json.loads(text) if isinstance(text, str) else (text or {})
    return {(topic, partition): offset for topic, partitions in topics.items() for partition, offset in partitions.items()}
