"""The ledger: what was sent, where Kafka put it, and what must become of it; JSON lines, for tests of what reads the topics.

Before records are sent, one line {"sending": [event_id, …]} has their identifiers. Each record that Kafka acknowledged has a line of its
own: topic, partition, offset, Kafka's time, `event_id`, `event_at` as sent, `fault` or null, `becomes` (event, repeat, dead_letter with its
`reason`, telemetry with its `content`) and `is_clamped`. What is in a `sending` line more often than acknowledged is unknown: Kafka may
have it. Of several lines of one `event_id` that become an event, which a restart causes, the one with the lowest offset is the event and
the others are repeats. Lines are appended by batch, and so survive a kill of the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from generator.clicks.events import instant
from generator.clicks.records import EVENT, TELEMETRY, Record


class Place(Protocol):
    """Where Kafka put a record; `timestamp` in milliseconds, as in kafka-python."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...


class Ledger:
    """Appends to the ledger's file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1024 * 1024)

    def sending(self, records: Iterable[Record]) -> None:
        """These records are about to be sent."""
        ids = [record.event_id for record in records if record.becomes != TELEMETRY]
        if ids:
            self._file.write(json.dumps({"sending": ids}) + "\n")
            self._file.flush()

    def acknowledged(self, done: Iterable[tuple[Record, Place]]) -> None:
        """Kafka has these records."""
        self._file.writelines(json.dumps(_line(record, place)) + "\n" for record, place in done)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(record: Record, place: Place) -> dict[str, object]:
    line: dict[str, object] = {"topic": place.topic, "partition": place.partition, "offset": place.offset, "kafka_ms": place.timestamp}
    if record.becomes == TELEMETRY:
        return line | {"becomes": TELEMETRY, "content": json.loads(record.value or b"{}")}
    return line | {
        "event_id": record.event_id,
        "event_at": instant(record.at_us),
        "fault": record.fault,
        "becomes": record.becomes,
        "reason": record.reason,
        "is_clamped": record.becomes == EVENT and record.at_us > place.timestamp * 1000,
    }
