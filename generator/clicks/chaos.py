"""Faults in the events, by name and rate, as other teams' trackers and networks make them.

A fault's rate is the share of events that have it, and each event has at most one; of `region_outage` it is the share of time. Events of a
visit that bought something are only repeated or held back: a purchase is never lost, and its `event_at` is its order's.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterable, Mapping

from generator.clicks.events import SECOND_US, Event, Visitor
from generator.clicks.malformed import KINDS
from generator.clicks.records import DEAD_LETTER, EVENT, REPEAT, Record, record_of
from generator.pools import REGIONS
from lakehouse.errors import EbapError

FAULTS = {
    "late": "event_at is 2 seconds to 6 hours before the event is sent",
    "duplicate": "the event is sent again: soon after, or one of long ago",
    "out_of_order": "the event is sent up to 5 seconds after later ones",
    "future": "event_at is a minute to half an hour ahead, or a year",
    "malformed": "the record is no event, in one of ten ways",
    "unknown_user": "the event is of a user that never was",
    "region_outage": "the events of a region stop for 20 seconds, and its telemetry has errors",
}
_LATE_S = (2.0, 6 * 3600.0)
_HELD_S = (0.5, 5.0)
_AHEAD_S = (60.0, 1800.0)
_YEAR_S = 365 * 86400.0
_UNKNOWN_USERS_FROM = 9_000_000_000_000
_OUTAGE_S = 20.0
_FIRST_OUTAGE_AFTER_S = 5.0
_RECENT_KEPT = 2_000
_OLD_KEPT = 5_000


def parse(settings: Iterable[str]) -> dict[str, float]:
    """Rates by fault from texts such as `late=0.05`. Raises EbapError."""
    rates = {}
    for text in settings:
        name, _, number = text.partition("=")
        if name not in FAULTS:
            raise EbapError(f"there is no fault {name!r}", f"there are {', '.join(FAULTS)}; `off` ends all")
        try:
            rates[name] = float(number)
        except ValueError:
            rates[name] = -1.0
        if not 0 <= rates[name] <= 0.9:
            raise EbapError(f"{text!r} is not a fault with its rate", f"give a share from 0 to 0.9, such as {name}=0.05")
    if sum(rate for name, rate in rates.items() if name != "region_outage") > 1:
        raise EbapError("the rates of the faults add up to more than 1", "give smaller ones: each event has at most one fault")
    return rates


class Chaos:
    """Turns events into records; `limit` is the size in bytes that a record may have."""

    def __init__(self, seed: int, limit: int) -> None:
        self._rng = random.Random(f"{seed}:chaos")
        self._limit = limit
        self._held: list[tuple[int, int, Record]] = []
        self._count = 0
        self._recent: deque[Record] = deque(maxlen=_RECENT_KEPT)
        self._old: list[Record] = []
        self._seen = 0
        self._outage_at_us: int | None = None
        self._outage_ends_us = 0
        self.region_out: str | None = None
        self.set({})

    def set(self, rates: Mapping[str, float]) -> None:
        """Use these rates from now on."""
        self._rates = {name: rate for name, rate in rates.items() if rate > 0}
        self._per_event = [
            (name, self._rates[name]) for name in ("late", "out_of_order", "future", "malformed", "unknown_user") if name in self._rates
        ]
        if "region_outage" not in self._rates:
            self._outage_at_us = self.region_out = None
        if not self._rates:
            self._held = [(0, number, record) for _, number, record in sorted(self._held)]

    def repeats(self, count: int) -> list[Record]:
        """The repeats among that many records that are due: of acknowledged records, half of them old ones."""
        rate = self._rates.get("duplicate", 0.0)
        number = sum(self._rng.random() < rate for _ in range(count)) if rate and self._recent else 0
        return [
            self._rng.choice(self._old if self._rng.random() < 0.5 else self._recent)._replace(fault="duplicate", becomes=REPEAT)
            for _ in range(number)
        ]

    def acknowledged(self, record: Record) -> None:
        """Keep an event that Kafka has, so that it can be repeated: the last ones, and a sample of all."""
        if "duplicate" not in self._rates or record.becomes != EVENT:
            return
        self._recent.append(record)
        self._seen += 1
        if len(self._old) < _OLD_KEPT:
            self._old.append(record)
        elif (place := int(self._rng.random() * self._seen)) < _OLD_KEPT:
            self._old[place] = record

    def records(self, events: list[Event], now_us: int) -> list[Record]:
        """The records of these events that are sent now."""
        if not self._rates:
            return [record_of(event) for event in events]
        return [record for event in events if (record := self._record(event, now_us))]

    def bought(self, events: list[Event], now_us: int) -> list[Record]:
        """The records of these events of visits that bought something that are sent now; the others are held."""
        sent = []
        for event in events:
            if event.visit.visitor.region == self.region_out:
                self._hold(record_of(event, "region_outage"), self._outage_ends_us)
            elif self._rng.random() < self._rates.get("out_of_order", 0.0):
                self._hold(record_of(event, "out_of_order"), now_us + self._draw_us(_HELD_S))
            else:
                sent.append(record_of(event))
        return sent

    def released(self, now_us: int) -> list[Record]:
        """The held records whose time has come."""
        records = []
        while self._held and self._held[0][0] <= now_us:
            records.append(heapq.heappop(self._held)[2])
        return records

    def out_of_order(self) -> list[Record]:
        """The records that are held back for seconds to be out of order, before their time."""
        held = sorted(entry for entry in self._held if entry[2].fault == "out_of_order")
        self._held = sorted(entry for entry in self._held if entry[2].fault != "out_of_order")
        return [record for _, _, record in held]

    def advance(self, now_us: int) -> None:
        """Begin or end the outage of a region."""
        rate = self._rates.get("region_outage")
        if not rate:
            return
        if self._outage_at_us is None:
            self._outage_at_us = now_us + int(_FIRST_OUTAGE_AFTER_S * SECOND_US)
        if self.region_out and now_us >= self._outage_ends_us:
            self.region_out = None
            self._outage_at_us = now_us + int(_OUTAGE_S * (1 / rate - 1) * SECOND_US)
        elif not self.region_out and now_us >= self._outage_at_us:
            self.region_out = self._rng.choice(list(REGIONS))
            self._outage_ends_us = now_us + int(_OUTAGE_S * SECOND_US)

    def _record(self, event: Event, now_us: int) -> Record | None:
        if event.visit.visitor.region == self.region_out:
            return None
        point = self._rng.random()
        for fault, rate in self._per_event:
            if point < rate:
                return self._faulty(fault, event, now_us)
            point -= rate
        return record_of(event)

    def _faulty(self, fault: str, event: Event, now_us: int) -> Record | None:
        rng = self._rng
        match fault:
            case "late":
                return record_of(event._replace(at_us=event.at_us - self._draw_us(_LATE_S)), fault)
            case "future":
                ahead_us = self._draw_us(_AHEAD_S) if rng.random() < 0.5 else int(_YEAR_S * SECOND_US)
                return record_of(event._replace(at_us=event.at_us + ahead_us), fault)
            case "unknown_user":
                visitor = event.visit.visitor
                unknown = Visitor(
                    visitor.visitor_id, _UNKNOWN_USERS_FROM + rng.getrandbits(32), visitor.region, visitor.country, visitor.persona
                )
                return record_of(event._replace(visit=event.visit._replace(visitor=unknown)), fault)
            case "malformed":
                kind = KINDS[int(len(KINDS) * rng.random())]
                broken = kind.value(event, self._limit)
                return record_of(event, fault)._replace(value=broken, becomes=DEAD_LETTER, reason=kind.reason)
        self._hold(record_of(event, fault), now_us + self._draw_us(_HELD_S))
        return None

    def _hold(self, record: Record, until_us: int) -> None:
        self._count += 1
        heapq.heappush(self._held, (until_us, self._count, record))

    def _draw_us(self, between_s: tuple[float, float]) -> int:
        """A duration between the two, in microseconds, each order of magnitude as likely as another."""
        low, high = between_s
        return int(low * (high / low) ** self._rng.random() * SECOND_US)
