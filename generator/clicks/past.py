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
from generator.clicks.journeys import Journeys
from generator.clicks.visitors import Visitors, load
from generator.operation import Purchase
from generator.pools import REGIONS

_SLOT = timedelta(minutes=15)
_SLOTS_A_DAY = 96
_LONGEST_BUYING = timedelta(hours=1)


def write(
    folder: Path, seed: int, visitors: Visitors, purchases: Iterable[Purchase], start: datetime, until: datetime, visits_a_day: int
) -> list[Path]:
    """Write the missing files of the days from `start` to `until`; returns their paths. A file is there once it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for day, events in days(seed, visitors, purchases, start, until, visits_a_day):
        path = folder / f"{day}.jsonl.gz"
        if not path.exists():
            written.append(_write(path, events))
    return written


def days(
    seed: int, visitors: Visitors, purchases: Iterable[Purchase], start: datetime, until: datetime, visits_a_day: int
) -> Iterator[tuple[date, list[Event]]]:
    """Each day with its events in time order, from the first order or `start`, a midnight, if that is earlier.

    No event is later than `until`, but for the purchase of an order that is.
    """
    end_us = microseconds(until)
    orders = iter(sorted(purchases, key=lambda purchase: purchase.ordered_at))
    order = next(orders, None)
    day = min(start, order.ordered_at - _LONGEST_BUYING if order else start).astimezone(UTC).date()
    events: list[Event] = []
    while day <= until.date():
        midnight = datetime.combine(day, datetime.min.time(), UTC)
        tomorrow = midnight + timedelta(days=1)
        journeys = Journeys(seed, visitors, stream=day)
        if midnight >= start:
            events += [
                event for begin_us in _beginnings(seed, midnight, visits_a_day) if begin_us < end_us for event in journeys.visit(begin_us)
            ]
        # An order's visit may begin on the day before.
        while order and order.ordered_at < tomorrow + _LONGEST_BUYING:
            events += journeys.buying(order)
            order = next(orders, None)
        limit_us = microseconds(tomorrow)
        ended = (event for event in events if event.at_us < limit_us and (event.at_us < end_us or event.order_id))
        yield day, sorted(ended, key=lambda event: event.at_us)
        events = [event for event in events if event.at_us >= limit_us]
        day = tomorrow.date()


def _beginnings(seed: int, midnight: datetime, visits_a_day: int) -> Iterator[int]:
    """When the day's visits begin, in microseconds; at a constant load they are `visits_a_day`."""
    rng = random.Random(f"{seed}:{midnight}")
    slot_us = _SLOT // timedelta(microseconds=1)
    for slot in range(_SLOTS_A_DAY):
        begin_us = microseconds(midnight) + slot * slot_us
        expected = visits_a_day / _SLOTS_A_DAY * sum(load(region, begin_us) for region in REGIONS) / len(REGIONS)
        for _ in range(int(expected) + (rng.random() < expected % 1)):
            yield begin_us + int(rng.random() * slot_us)


def _write(path: Path, events: list[Event]) -> Path:
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as lines:
        lines.writelines(wire(event) + b"\n" for event in events)
    return draft.replace(path)
