"""All records that are due: the visits of purchases, repeats, visits that buy nothing, and telemetry.

Purchases come first, and the rest fills up to the number of events that is due. No clock is read here.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

from generator.clicks.chaos import Chaos
from generator.clicks.events import Event
from generator.clicks.journeys import Journeys
from generator.clicks.records import Record
from generator.clicks.telemetry import Telemetry
from generator.operation import Purchase


class Batch(NamedTuple):
    """Records to send now. `paid` is the number of events they stand for: some are held back, or are held ones, or stopped."""

    records: list[Record]
    telemetry: list[Record]
    paid: int


class Traffic:
    """Generates the records of one shop."""

    def __init__(self, seed: int, journeys: Journeys, chaos: Chaos) -> None:
        self.journeys, self.chaos = journeys, chaos
        self._telemetry = Telemetry(seed)
        self._bought: list[tuple[int, int, Event]] = []
        self._count = 0

    def buy(self, purchase: Purchase) -> list[str]:
        """Send the visit of this purchase, from the next `take` on; returns the `event_id` of each of its events."""
        events = self.journeys.buying(purchase)
        for event in events:
            self._count += 1
            heapq.heappush(self._bought, (event.at_us, self._count, event))
        return [event.event_id for event in events]

    def take(self, due: int, begin_us: int, end_us: int) -> Batch:
        """What is due of the time from `begin_us` to `end_us`: `due` events, or more where more is bought."""
        chaos = self.chaos
        chaos.advance(end_us)
        bought = []
        while self._bought and self._bought[0][0] < end_us:
            bought.append(heapq.heappop(self._bought)[2])
        repeats = chaos.repeats(due)
        visits = self.journeys.take(max(due - len(bought) - len(repeats), 0), begin_us, end_us)
        telemetry = self._telemetry.records(end_us - 1)
        self._telemetry.count(bought + visits, chaos.region_out)
        sent = chaos.released(end_us) + chaos.bought(bought, end_us) + repeats + chaos.records(visits, end_us)
        return Batch(sent, telemetry, len(bought) + len(repeats) + len(visits))

    def drop_purchases(self) -> None:
        """Forget the purchases whose events are still to come, which are then bought again."""
        self._bought.clear()
