"""A record for Kafka, with what the ledger states of it."""

from __future__ import annotations

from typing import NamedTuple

from generator.clicks.events import EVENTS_TOPIC, Event, wire

EVENT, REPEAT, DEAD_LETTER, TELEMETRY = "event", "repeat", "dead_letter", "telemetry"


class Record(NamedTuple):
    """One record. `becomes` is what must become of it: an event, a repeat of one, a dead letter for `reason`, or telemetry.

    A malformed record has the `event_id` and `at_us` of the event it was; `at_us` is `event_at` as sent, in microseconds.
    """

    topic: str
    key: bytes
    value: bytes | None
    event_id: str
    at_us: int
    fault: str | None = None
    becomes: str = EVENT
    reason: str | None = None


def record_of(event: Event, fault: str | None = None) -> Record:
    """The event's record."""
    return Record(EVENTS_TOPIC, event.visit.visitor.key, wire(event), event.event_id, event.at_us, fault)
