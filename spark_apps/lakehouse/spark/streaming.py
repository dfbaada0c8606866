"""Streaming queries: one structured log line per batch, and a clean stop between two batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse import wait
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql.streaming import StreamingQuery

OBSERVED = "landed"
# Records that one task lands within a trigger's five seconds; a larger backlog uses all cores, in large batches.
LIGHT_RECORDS = 20_000
_POLL_S = 0.5
# How long a stop waits for the running batch; a batch cut short is replayed at the next start, with the same result.
_STOP_LIMIT_S = 60.0
# How long a stop request is waited for. A machine's graceful shutdown is at least 120 s: vm_stop refuses less.
DRAIN_LIMIT_S = 75.0


class End(Enum):
    """Why a query ended."""

    STOPPED = "a stop was requested"
    CAUGHT_UP = "all records present at its start have landed"
    BEHIND = "the backlog exceeds its limit"


@dataclass(frozen=True)
class _Reported:
    """The newest batch that was reported, and how many records waited behind it."""

    batch: int = -2
    lag_records: int = 0


_NOTHING = _Reported()


def stop_file(settings: Settings, app: str) -> Path:
    """The stop request: the app ends between two batches if it exists, and removes it at start."""
    return settings.control_dir / f"{app}.stop"


def report_file(settings: Settings, app: str) -> Path:
    """The app's last report: a batch, or a first poll of Kafka that found no records."""
    return settings.control_dir / f"{app}.json"


def drain(request: Path, has_ended: Callable[[], bool], limit_s: float = DRAIN_LIMIT_S) -> bool:
    """Write a stop request and wait until its app has ended; whether it did within the limit."""
    request.parent.mkdir(parents=True, exist_ok=True)
    request.touch()
    return any(has_ended() for _ in wait.looks(limit_s, every_s=0.2))


def begin(settings: Settings, app: str) -> None:
    """Prepare the folder of requests and reports, and remove a stop request of before."""
    settings.control_dir.mkdir(parents=True, exist_ok=True)
    stop_file(settings, app).unlink(missing_ok=True)


def run(start: Callable[[bool], StreamingQuery], settings: Settings, app: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Run the app's query until a stop is requested: in small batches, a backlog in large ones.

    `start` begins a query, with True one for a backlog. `meanwhile` is called twice a second and must return at once.
    """
    begin(settings, app)
    end: End | None = None
    while end is not End.STOPPED:
        is_backlog = end is End.BEHIND
        end = run_until_end(start(is_backlog), settings, app, meanwhile, None if is_backlog else LIGHT_RECORDS)


def run_until_end(
    query: StreamingQuery, settings: Settings, app: str, meanwhile: Callable[[], None] = lambda: None, most_behind: int | None = None
) -> End:
    """Report each batch until a stop is requested, the query ends, or more than `most_behind` records wait; returns which.

    The query is stopped between batches; a failed query raises its error.
    """
    reported, end = _NOTHING, None
    while end is None:
        if query.awaitTermination(_POLL_S):  # type: ignore[arg-type]  # seconds, and a float is taken
            end = End.CAUGHT_UP
        before = reported
        reported = _report_batches(query, report_file(settings, app), reported)
        meanwhile()
        if stop_file(settings, app).exists():
            end = End.STOPPED
        elif end is None and most_behind is not None and reported.batch > before.batch and reported.lag_records > most_behind:
            end = End.BEHIND
    if query.isActive:
        _stop_between_batches(query)
        _report_batches(query, report_file(settings, app), reported)
    if end is End.STOPPED:
        stop_file(settings, app).unlink(missing_ok=True)
    return end


def batch_report(progress: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Report of one batch: records, rate (records per second), duration and its phases (ms), lag in records and in seconds.

    The lag in seconds is the time from Kafka's timestamp of the batch's oldest record to the end of the batch.
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


def _report_batches(query: StreamingQuery, file: Path, reported: _Reported) -> _Reported:
    """Report batches that have ended since, and the query's first poll of Kafka even if it was empty: the app is up by then."""
    newest = query.lastProgress
    # recentProgress parses 100 JSON objects: read only if there is something to report.
    if newest is None or not _is_beyond(_as_dict(newest), reported):
        return reported
    for progress in map(_as_dict, query.recentProgress):
        if _is_to_report(progress, reported):
            report = batch_report(progress, _ended_at(progress))
            reported = _Reported(batch=progress["batchId"] - (0 if progress["numInputRows"] else 1), lag_records=report["lag_records"])
            line = json.dumps(report)
            print(line, flush=True)
            draft = file.with_suffix(".draft")
            draft.write_text(line)
            draft.replace(file)
    return reported


def _is_beyond(newest: dict[str, Any], reported: _Reported) -> bool:
    """Whether a batch may have ended since; a poll of Kafka that found nothing has the number of the next batch."""
    ended = newest["batchId"] - (0 if newest["numInputRows"] else 1)
    return reported == _NOTHING or ended > reported.batch


def _is_to_report(progress: dict[str, Any], reported: _Reported) -> bool:
    return progress["batchId"] > reported.batch and (progress["numInputRows"] > 0 or reported == _NOTHING)


def _stop_between_batches(query: StreamingQuery) -> None:
    """Wait for the running batch; under a backlog the next one has begun by then, and has written nothing yet."""
    batch = _last_batch(query)
    for _ in wait.looks(_STOP_LIMIT_S, every_s=0.02):
        if not query.status["isTriggerActive"] or _last_batch(query) != batch:
            break
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
    """Records in Kafka beyond the batch's end, over all partitions, at the time the batch was planned."""
    latest, end = (_offsets(source.get(name)) for name in ("latestOffset", "endOffset"))
    return sum(max(offset - end.get(place, 0), 0) for place, offset in latest.items())


def _offsets(text: Any) -> dict[tuple[str, str], int]:
    topics = json.loads(text) if isinstance(text, str) else (text or {})
    return {(topic, partition): offset for topic, partitions in topics.items() for partition, offset in partitions.items()}
