"""Line 12: clicks from pools against Faker for each event, in process and on one core, and the accuracy of the rate."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from faker import Faker

from generator.clicks import sender
from generator.clicks.chaos import Chaos
from generator.clicks.events import EVENTS_TOPIC, SECOND_US, TELEMETRY_TOPIC, wire
from generator.clicks.journeys import Journeys
from generator.clicks.records import Record
from generator.clicks.sender import BrokerError
from generator.clicks.service import Clicks
from generator.clicks.traffic import Traffic
from generator.clicks.visitors import Account, Visitors
from generator.control import Control
from generator.pools import REGIONS
from lakehouse import tables
from lakehouse.settings import Settings
from tests.bench import scratch
from tests.bench.sides import PAIRS, begin, measured, report

_TYPES = tables.live("events").column("event_type").choices
_RATES = (100, 1_000, 10_000)
_POOLED = 60_000
_BY_FAKER = 2_000
_EACH_S = 10.0
_LEAST_RATIO, _LEAST_EPS, _LARGEST_ERROR = 100, 30_000, 0.01


def generation(settings: Settings) -> None:
    """Both sides in this process, then the service's rates."""
    begin("12  clicks: pools / Faker for each event")
    _agree(_pooled(_journeys(), 0, 100), _faked(Faker(), 100))
    _in_process()
    for eps in _RATES:
        _knob(settings, eps)


def _in_process() -> None:
    journeys, fake = _journeys(), Faker()
    _pooled(journeys, 0, _POOLED)
    ratios, rates = [], []
    for pair in range(1, PAIRS + 1):
        pooled = measured(partial(_pooled, journeys, pair * 60, _POOLED))
        faked = measured(lambda: _faked(fake, _BY_FAKER))
        rates.append(_POOLED / pooled.cpu_s)
        ratios.append(rates[-1] / (_BY_FAKER / faked.cpu_s))
    report(
        "pooled / Faker, events per CPU second",
        ratios,
        f"{min(rates):,.0f} to {max(rates):,.0f} events a CPU second; at least {_LEAST_RATIO} times and {_LEAST_EPS:,} wanted",
    )


def _knob(settings: Settings, eps: int) -> None:
    """The service for ten seconds at that rate."""
    with scratch.folder(settings) as folder:
        sink, where = _sink(settings)
        service = Clicks(
            Control(folder, "clicks"),
            eps,
            Traffic(1, _journeys(time.time_ns()), Chaos(1, settings.max_event_kb * 1024)),
            connect=lambda: sink,
            renew=lambda: None,
            outbox_folder=Path(folder) / "purchases",
            ledger_path=Path(folder) / "ledger.jsonl",
        )
        spent = measured(lambda: service.run(_EACH_S))
        status = Control(folder, "clicks").status()
    error = abs(status["rate"] / eps - 1)
    verdict = "within" if error <= _LARGEST_ERROR else "NOT within"
    print(
        f"    {eps:,} events a second into {where}: {status['rate']:,.1f} ({error:.2%} off, {verdict} 1 %), lost {status['lost']}, "
        f"{spent.cpu_s / spent.wall_s:.0%} of a core",
        flush=True,
    )


class _Discarded:
    """Stands for Kafka where none answers."""

    in_flight = 0

    def send(self, _: Iterable[Record]) -> None:
        """Discard the records."""

    def collect(self) -> tuple[list[Any], list[Record]]:
        """None are waited for."""
        return [], []

    def flush(self) -> None:
        """None are in flight."""

    def close(self) -> None:
        """Nothing is open."""


def _sink(settings: Settings) -> tuple[Any, str]:
    try:
        return sender.connect(settings, (EVENTS_TOPIC, TELEMETRY_TOPIC)), "Kafka"
    except BrokerError:
        return _Discarded(), "nothing, as no Kafka with the topics answers"


def _journeys(stream: object = "") -> Journeys:
    regions = list(REGIONS)
    accounts = [Account(number, regions[number % 4], REGIONS[regions[number % 4]][0]) for number in range(1, 10_001)]
    return Journeys(1, Visitors(1, accounts, range(1, 201)), stream)


def _pooled(journeys: Journeys, since_s: int, count: int) -> list[bytes]:
    start_us = 1_772_452_800 * SECOND_US + since_s * SECOND_US
    each = count // 60
    seconds = range(start_us, start_us + 60 * SECOND_US, SECOND_US)
    return [wire(event) for begin_us in seconds for event in journeys.take(each, begin_us, begin_us + SECOND_US)]


def _faked(fake: Faker, count: int) -> list[bytes]:
    """The same fields, each by a call of Faker, and `json.dumps`: how such generators are commonly written."""
    return [
        json.dumps(
            {
                "event_id": fake.uuid4(),
                "event_type": fake.random_element(_TYPES),
                "event_at": fake.date_time_between("-1h", "now", tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
                "visitor_id": fake.uuid4(),
                "user_id": fake.random_int(1, 10_000),
                "session_id": fake.uuid4(),
                "product_id": fake.random_int(1, 200),
                "order_id": fake.random_int(1, 10_000),
                "checkout_id": fake.uuid4(),
                "region": fake.random_element(tuple(REGIONS)),
                "country": fake.country_code(),
                "device": fake.user_agent(),
                "page": fake.uri(),
            }
        ).encode()
        for _ in range(count)
    ]


def _agree(*sides: list[bytes]) -> None:
    """Exit unless the records of all sides have the same keys, identifiers and instants."""
    for values in sides:
        for event in map(json.loads, values):
            uuid.UUID(event["event_id"]), datetime.fromisoformat(event["event_at"])
            if list(event) != list(json.loads(sides[0][0])) or event["event_type"] not in _TYPES:
                sys.exit("bench: the two sides of line 12 have different records")
