"""Ten kinds of records that are no event, each with the reason for which it must be refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from generator.clicks.events import Event, instant, wire


class Kind(NamedTuple):
    """One kind: its name, the reason of its dead letter, and its value; `limit` is the size in bytes that an event may have."""

    name: str
    reason: str
    value: Callable[[Event, int], bytes | None]


def _replaced(part: Callable[[Event], str], by: str) -> Callable[[Event, int], bytes]:
    def value(event: Event, _: int) -> bytes:
        return wire(event).replace(part(event).encode(), by.encode(), 1)

    return value


KINDS = (
    Kind("empty", "empty", lambda _event, _limit: b""),
    Kind("tombstone", "empty", lambda _event, _limit: None),
    Kind("binary", "not_utf8", lambda event, _limit: b"\xff\xfe" + wire(event)[2:]),
    Kind("cut_off", "not_json", lambda event, _limit: wire(event)[:-40]),
    Kind("list", "wrong_shape", lambda event, _limit: b"[" + wire(event) + b"]"),
    Kind("key_missing", "wrong_shape", _replaced(lambda event: f'"session_id":"{event.visit.session_id}",', "")),
    Kind("no_uuid", "bad_value", _replaced(lambda event: event.event_id, "event-1")),
    Kind("no_instant", "bad_value", _replaced(lambda event: instant(event.at_us), "yesterday")),
    Kind("unknown_type", "unknown_type", _replaced(lambda event: f'"event_type":"{event.event_type}"', '"event_type":"teleport"')),
    Kind("too_large", "too_large", lambda event, limit: wire(event._replace(page="/" + "x" * limit))),
)
