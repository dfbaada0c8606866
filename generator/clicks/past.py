"""Visits of past days as files: gzip JSON lines in the wire format, one file a UTC day of `event_at`, each in time order.

A day's visits follow the curves of the regions; every past order has its visit. The same seed, days and orders give the same bytes.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from generator.clicks.events import Event, microseconds, wire
from generator.clicks.journeys import Journeys, Purchase
from generator.clicks.visitors import load
from generator.pools import REGIONS

_SLOT = timedelta(minutes=15)
_SLOTS_A_DAY = 96


def write(
    folder: Path, journeys: Journeys, purchases: Iterable[Purchase], start: datetime, until: datetime, visits_a_day: int
) -> list[Path]:
    """Write the files of the days from `start` to `until`; a file replaces an older one of its day once it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / f"{day}.jsonl.gz", events) for day, events in days(journeys, purchases, start, until, visits_a_day)]


def days(
    journeys: Journeys, purchases: Iterable[Purchase], start: datetime, until: datetime, visits_a_day: int
) -> Iterator[tuple[date, list[Event]]]:
    """Each day with its events in time order. `purchases` are in the order of `ordered_at`, none later than `until`.

    An order's visit may have begun before `start`, and so may be in a day before it. No event is later than `until`.
    """
    rng = random.Random(f"{start}:{visits_a_day}")
    orders, end_us = iter(sorted(purchases, key=lambda purchase: purchase.ordered_at)), microseconds(until)
    events: list[Event] = []
    order = next(orders, None)
    day = (min(start, order.ordered_at) if order else start).astimezone(UTC).date()
    # A day is complete once the next one is drawn: the visit of an order after midnight may have begun before.
    while day <= until.date():
        tomorrow = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
        for begin_us in _beginnings(day, rng, visits_a_day):
            events += journeys.visit(begin_us) if microseconds(start) <= begin_us < end_us else []
        while order and order.ordered_at < tomorrow + timedelta(hours=1):
            events += journeys.buying(order)
            order = next(orders, None)
        limit_us = microseconds(tomorrow)
        yield day, sorted((event for event in events if event.at_us < min(limit_us, end_us)), key=lambda event: event.at_us)
        events = [event for event in events if event.at_us >= limit_us]
        day = tomorrow.date()


def _beginnings(day: date, rng: random.Random, visits_a_day: int) -> Iterator[int]:
    """When the day's visits begin, in microseconds; at a constant load they are `visits_a_day`."""
    midnight = microseconds(datetime.combine(day, datetime.min.time(), UTC))
    slot_us = _SLOT // timedelta(microseconds=1)
    for slot in range(_SLOTS_A_DAY):
        begin_us = midnight + slot * slot_us
        expected = visits_a_day / _SLOTS_A_DAY * sum(load(region, begin_us) for region in REGIONS) / len(REGIONS)
        for _ in range(int(expected) + (rng.random() < expected % 1)):
            yield begin_us + int(rng.random() * slot_us)


def _write(path: Path, events: list[Event]) -> Path:
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as lines:
        lines.writelines(wire(event) + b"\n" for event in events)
    return draft.replace(path)
