"""Shared by all lines of the bench: time a side, check that two sides return the same rows, wait for a condition, report a ratio."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil

from lakehouse import wait

T = TypeVar("T")

PAIRS = 5


def paired(name: str, one: Callable[[], list[Any]], other: Callable[[], list[Any]]) -> list[tuple[float, float]]:
    """Seconds of both sides, alternating, after one discarded run each; exits if their results differ."""
    agree(name, one(), other())
    return [(timed(one)[0], timed(other)[0]) for _ in range(PAIRS)]


def agree(name: str, some: list[Any], others: list[Any]) -> None:
    """Exit if two results have different rows, regardless of order."""
    if sorted(map(_plain, some)) != sorted(map(_plain, others)):
        sys.exit(f"bench: the two sides of {name} returned different rows (is the shop paused? `make pause`)")


def timed(run: Callable[[], T]) -> tuple[float, T]:
    """The duration of a call in seconds, and its result."""
    began = time.perf_counter()
    found = run()
    return time.perf_counter() - began, found


@dataclass(frozen=True, kw_only=True)
class Run:
    """The cost of one run of a side, for all its processes."""

    wall_s: float
    cpu_s: float


def measured(side: Callable[[], object], processes: Sequence[psutil.Process] = ()) -> Run:
    """Run a side and measure its wall time, and the CPU time of these processes, by default of this one and its descendants."""
    before = _cpu_s(processes)
    wall_s, _ = timed(side)
    return Run(wall_s=wall_s, cpu_s=_cpu_s(processes) - before)


def until(condition: Callable[[], T | None], limit_s: float, what: str) -> T:
    """Look until there is something to see, and give it; exits where there is nothing within the limit."""
    try:
        return wait.until(condition, limit_s, what, every_s=0.05)
    except TimeoutError as late:
        sys.exit(f"bench: {late}: look at `make status`")


def begin(line: str) -> None:
    """Print the heading of a line, with the load average, since other load on the machine affects the figures."""
    print(f"\n{line}; load average {os.getloadavg()[0]:.1f}", flush=True)


def p95(values: Sequence[float]) -> float:
    """The value that one in twenty exceeds."""
    return sorted(values)[int(0.95 * (len(values) - 1))]


def report(what: str, ratios: Sequence[float], context: str) -> None:
    """Print what was compared, the median, minimum and maximum of the paired ratios, and absolute figures as context."""
    print(f"    {what}: median {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {context}", flush=True)


def compare(what: str, ones: Sequence[Run], others: Sequence[Run]) -> None:
    """Report the ratio of the first side's time to the second's, by wall time and by CPU time."""
    for clock, name in (("wall_s", "wall"), ("cpu_s", "CPU")):
        some, rest = ([getattr(run, clock) for run in runs] for runs in (ones, others))
        ratios = [one / other for one, other in zip(some, rest, strict=True)]
        report(f"{what}, {name}", ratios, f"{statistics.median(some):.2f} s / {statistics.median(rest):.2f} s")


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    """CPU time of the processes so far, with that of ended children: Spark's Python workers are short-lived."""
    spent = 0.0
    for process in processes or [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def _plain(row: Sequence[Any]) -> tuple[str, ...]:
    # A DuckDB decimal may have a larger scale, and PyHive returns dates as Python dates.
    return tuple(f"{value:.4f}" if isinstance(value, (int, float)) or hasattr(value, "as_tuple") else str(value) for value in row)
