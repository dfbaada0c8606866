"""Simulated past days, written in chronological order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from generator.curves import busyness
from generator.operation import Operation
from generator.world import PURCHASE_SHARE, World


def begin_at(now: datetime, days: float, newest_at: datetime | None) -> datetime:
    """The start of the past: that many days ago, or at the newest order if the shop already has orders since then."""
    start = now - timedelta(days=days)
    return max(start, newest_at) if newest_at else start


def past(world: World, start: datetime, end: datetime, orders_per_day: float) -> Iterator[Operation]:
    """Every operation from `start` to `end` in order: orders change status when due, other operations follow the load curve."""
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


def write(operations: Iterator[Operation], apply: Callable[[Operation], None], report_day: Callable[[datetime, int], None]) -> int:
    """Apply all operations; calls `report_day` with each finished day and the count so far. Returns the total count."""
    count, last = 0, None
    for operation in operations:
        if last and operation.at.date() != last.date():
            report_day(last, count)
        apply(operation)
        count, last = count + 1, operation.at
    return count
