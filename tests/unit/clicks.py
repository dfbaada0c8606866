"""A small shop whose clicks are generated in the tests' own process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from generator.clicks.chaos import Chaos
from generator.clicks.events import microseconds
from generator.clicks.journeys import Journeys
from generator.clicks.records import Record
from generator.clicks.sender import BrokerError
from generator.clicks.service import Clicks
from generator.clicks.traffic import Traffic
from generator.clicks.visitors import Account, Visitors
from generator.control import Control
from generator.operation import Purchase
from generator.pools import REGIONS

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
START_US = microseconds(START)
SECOND_US = 1_000_000
LIMIT = 64 * 1024
ACCOUNTS = tuple(Account(number, region, REGIONS[region][0]) for number, region in zip(range(1, 101), itertools.cycle(REGIONS)))
PRODUCTS = tuple(range(1, 51))


def journeys(seed: int = 1, stream: object = "") -> Journeys:
    return Journeys(seed, Visitors(seed, ACCOUNTS, PRODUCTS), stream)


def traffic(**faults: float) -> Traffic:
    made = Traffic(1, journeys(), Chaos(1, LIMIT))
    made.chaos.set(faults)
    return made


def purchase(order_id: int, at: datetime = START, user_id: int | None = 7) -> Purchase:
    return Purchase(order_id, user_id, f"00000000-0000-4000-a000-{order_id:012d}", at, (order_id % 50 + 1, 3))


class Place(NamedTuple):
    """Where the fake Kafka put a record."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class Kafka:
    """Stands for the sender: keeps what it is sent, and acknowledges it at the next `collect` unless it `is_away` or has to `lose` it."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.log: list[tuple[Record, Place]] = []
        self._open: list[tuple[Record, Place]] = []
        self.is_away = False
        self.is_refusing = False
        self.lose = 0

    def connect(self) -> Any:
        if self.is_refusing:
            raise BrokerError("Kafka does not answer")
        return self

    @property
    def in_flight(self) -> int:
        return len(self._open)

    def send(self, records: list[Record]) -> None:
        if self.is_refusing:
            raise BrokerError("Kafka refuses a record")
        for record in records:
            place = Place(record.topic, 0, len(self.log), self._clock.now_us() // 1000)
            self.log.append((record, place))
            self._open.append((record, place))

    def collect(self) -> tuple[list[tuple[Record, Any]], list[Record]]:
        if self.is_away:
            return [], []
        lost, done, self._open = self._open[: self.lose], self._open[self.lose :], []
        self.lose -= len(lost)
        return list(done), [record for record, _ in lost]

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def events(self) -> list[Record]:
        return [record for record, _ in self.log if record.topic == "ebap.events.raw"]


class VirtualClock:
    """A clock that only sleeping moves, each time a little more than it was meant to; `calls` are made at their time."""

    def __init__(self) -> None:
        self._now = 0.0
        self.calls: list[tuple[float, Callable[[], object]]] = []

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds + 0.0017
        while self.calls and self.calls[0][0] <= self._now:
            self.calls.pop(0)[1]()

    def now_us(self) -> int:
        return START_US + int(self._now * 1000) * 1000


def service(folder: Path, kafka: Kafka, clock: VirtualClock, eps: float = 100, made: Traffic | None = None) -> Clicks:
    return Clicks(
        Control(folder, "clicks"),
        eps,
        made or traffic(),
        connect=kafka.connect,
        renew=lambda: None,
        outbox_folder=folder / "purchases",
        ledger_path=folder / "ledger.jsonl",
        clock=clock,  # type: ignore[arg-type]
    )


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)
