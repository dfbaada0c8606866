"""Wire format of the two live topics: one JSON object a record, UTF-8, every key always present.

`event_at` is UTC with microseconds and Z. A purchase's identifiers are derived from its order, so that an event that is sent again is
the same event.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

EVENTS_TOPIC = "ebap.events.raw"
TELEMETRY_TOPIC = "ebap.metrics.telemetry"
SECOND_US = 1_000_000
_NAMESPACE = uuid.UUID("6f1d7a52-3b0e-5c7c-9a55-0e5f4d1c2ab8")
_QUOTED = '"%s"'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Visitor:
    """A person or device that visits the shop again and again; `user_id` is None for a guest."""

    __slots__ = ("country", "key", "persona", "region", "user_id", "visitor_id", "where", "who")

    def __init__(self, visitor_id: str, user_id: int | None, region: str, country: str, persona: str) -> None:
        self.visitor_id, self.user_id, self.region, self.country, self.persona = visitor_id, user_id, region, country, persona
        # The key of its records, so that they are all in one partition; and its parts of the records' text.
        self.key = visitor_id.encode()
        self.who = f'"visitor_id":"{visitor_id}","user_id":{"null" if user_id is None else user_id}'
        self.where = f'"region":"{region}","country":"{country}"'


class Visit(NamedTuple):
    """One session of a visitor."""

    visitor: Visitor
    session_id: str
    device: str


class Event(NamedTuple):
    """One click; `at_us` in microseconds since 1970. Texts contain nothing that JSON escapes."""

    event_id: str
    event_type: str
    at_us: int
    visit: Visit
    product_id: int | None
    order_id: int | None
    checkout_id: str | None
    page: str


def wire(event: Event) -> bytes:
    """The value of the event's record."""
    event_id, event_type, at_us, (visitor, session_id, device), product_id, order_id, checkout_id, page = event
    return (
        f'{{"event_id":"{event_id}","event_type":"{event_type}","event_at":"{instant(at_us)}",{visitor.who},"session_id":"{session_id}",'
        f'"product_id":{"null" if product_id is None else product_id},"order_id":{"null" if order_id is None else order_id},'
        f'"checkout_id":{"null" if checkout_id is None else _QUOTED % checkout_id},{visitor.where},"device":"{device}","page":"{page}"}}'
    ).encode()


def instant(at_us: int) -> str:
    """That instant as the records state it."""
    seconds, micros = divmod(at_us, SECOND_US)
    return f"{_second(seconds)}.{micros:06d}Z"


def microseconds(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(at_us: int) -> datetime:
    """The instant of these microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=at_us)


def uuid_text(bits: int) -> str:
    """128 random bits as the text of a UUID of version 4; a fifth of the time that `uuid.UUID` takes."""
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def uuid_texts(rng: random.Random, count: int) -> Iterator[str]:
    """That many random UUIDs of version 4."""
    digits = rng.randbytes(16 * count).hex()
    for at in range(0, 32 * count, 32):
        text = digits[at : at + 32]
        yield f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def derived_id(*parts: object) -> str:
    """An identifier that is always the same for these parts."""
    return str(uuid.uuid5(_NAMESPACE, ":".join(map(str, parts))))


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
