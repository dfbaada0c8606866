"""Simulated past days, written in chronological order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from generator.curves import busyness
from generator.operation import Operation
from generator.world import PURCHASE_SHARE, World


def begin_at(now: datetime, days: float, newest_at: datetime | None) -> datetime:
    """Where the past begins: that many days ago, or at the newest order where the shop already has a past."""
    start = now - timedelta(days=days)
    return max(start, newest_at) if newest_at else start


def past(world: World, start: datetime, end: datetime, orders_per_day: float) -> Iterator[Operation]:
    """Every operation from `start` to `end` in order: orders take their next status when it is due, shoppers follow the curve."""
    between_s = 86400 / (orders_per_day / PURCHASE_SHARE)
    at = start
    while True:
        at += timedelta(seconds=between_s / busyness(at))
        yield from _due(world, start, min(at, end))
        if at >= end:
            return
        yield world.act(at)


def _due(world: World, start: datetime, until: datetime) -> Iterator[Operation]:
    while (due_at := world.shop.next_due_at) and due_at <= until:
        yield world.advance(max(due_at, start))


def write(operations: Iterator[Operation], apply: Callable[[Operation], None], tell_day: Callable[[datetime, int], None]) -> int:
    """Apply them all; `tell_day` hears of each finished day and the operations so far. Returns how many there were."""
    count, last = 0, None
    for operation in operations:
        if last and operation.at.date() != last.date():
            tell_day(last, count)
        apply(operation)
        count, last = count + 1, operation.at
    return count
