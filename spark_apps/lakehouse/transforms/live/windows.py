"""One-minute windows of activity: their values, and the running ones of the last minutes.

A window is final ten minutes after its end, by Kafka's time. Until then its values are those of everything received so far.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lakehouse.tables.telemetry import BUCKETS_MS

WINDOW_S = 60
# How long after the end of its window a record is waited for.
GRACE_S = 600
ALL = "all"
BUCKETS = (*(f"le_{bound}_ms" for bound in BUCKETS_MS), "over_1000_ms")
# Requests, errors, and requests by latency bucket, of one service, region and second.
Counts = tuple[int, ...]
# A row of the table `windows`.
Row = tuple[datetime, str, int, int, int, int, float | None]


@dataclass(frozen=True, kw_only=True)
class Values:
    """Values of one window in one region, or in all: counts, and the 95th percentile of the latency in ms (None without requests)."""

    active_visitors: int
    requests: int
    errors: int
    p95_ms: float | None

    @property
    def error_rate(self) -> float:
        """Errors per request; 0 without requests."""
        return self.errors / self.requests if self.requests else 0.0


def start_of(at_s: float) -> int:
    """Start of the window of an instant, both in seconds since 1970."""
    return int(at_s // WINDOW_S) * WINDOW_S


def final_before(frontier_s: float) -> int:
    """End of the newest final window, in seconds since 1970, when everything is read that Kafka received before the frontier."""
    return start_of(frontier_s - GRACE_S)


def p95(counts: Sequence[int]) -> float | None:
    """The 95th percentile in ms of requests counted by latency bucket, linear within a bucket as in Prometheus' histogram_quantile.

    In the last bucket, which has no upper bound, it is the bound below.
    """
    rank, below = 0.95 * sum(counts), 0.0
    if not rank:
        return None
    lows = (0, *BUCKETS_MS)
    for low, high, count in zip(lows, (*BUCKETS_MS, BUCKETS_MS[-1]), counts, strict=True):
        if count and below + count >= rank:
            return low + (high - low) * (rank - below) / count
        below += count
    return float(BUCKETS_MS[-1])


def values(visitors: int, counts: Iterable[Counts]) -> Values:
    """The values of a window from its distinct visitors and the counts of every service and second in it."""
    total = [sum(column) for column in zip(*counts, strict=True)] or [0] * (2 + len(BUCKETS))
    return Values(active_visitors=visitors, requests=total[0], errors=total[1], p95_ms=p95(total[2:]))


@dataclass(kw_only=True)
class _Window:
    clamped: set[str] = field(default_factory=set)
    visitors: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    # By region, then by service and second: a record that comes again replaces itself.
    counts: dict[str, dict[tuple[str, int], Counts]] = field(default_factory=lambda: defaultdict(dict))

    def values(self) -> dict[str, Values]:
        regions = sorted({*self.visitors, *self.counts})
        found = {region: values(len(self.visitors.get(region, ())), self.counts.get(region, {}).values()) for region in regions}
        everyone = set().union(*self.visitors.values())
        return found | {ALL: values(len(everyone), [counts for seconds in self.counts.values() for counts in seconds.values()])}


class Running:
    """The windows of the last minutes, in memory; late records and repeats change nothing.

    Every window from `since_s` on is complete as far as records have been added; earlier ones are not kept.
    """

    def __init__(self, since_s: int) -> None:
        self._since_s = since_s
        self._windows: dict[int, _Window] = {}
        self._changed: set[int] = set()

    def add_event(self, at_s: float, region: str, visitor: str, event_id: str, *, is_clamped: bool) -> None:
        """Count an event that is not late, unless it repeats a clamped one: the repeat has another instant than what is stored."""
        window = self._window(at_s)
        if window is None or any(event_id in known.clamped for known in self._windows.values()):
            return
        if is_clamped:
            window.clamped.add(event_id)
        if visitor not in window.visitors[region]:
            window.visitors[region].add(visitor)
            self._changed.add(start_of(at_s))

    def add_telemetry(self, at_s: int, service: str, region: str, counts: Counts) -> None:
        """Take the counts of one service, region and second."""
        window = self._window(at_s)
        if window is not None and window.counts[region].get((service, at_s)) != counts:
            window.counts[region][service, at_s] = counts
            self._changed.add(start_of(at_s))

    def take_changed(self) -> dict[int, dict[str, Values]]:
        """Values by region of the windows that changed since the last call, by start."""
        changed, self._changed = self._changed, set()
        return {start: self._windows[start].values() for start in sorted(changed) if start in self._windows}

    def change_all(self) -> None:
        """Treat every window as changed: their reader has lost them."""
        self._changed |= set(self._windows)

    def drop_before(self, end_s: int) -> None:
        """Drop the windows that end at or before, which are final, and take no record of them any more."""
        self._since_s = max(self._since_s, end_s)
        for start in [start for start in self._windows if start + WINDOW_S <= end_s]:
            del self._windows[start]

    def _window(self, at_s: float) -> _Window | None:
        start = start_of(at_s)
        return self._windows.setdefault(start, _Window()) if start >= self._since_s else None


def by_window(rows: Iterable[Row]) -> dict[int, dict[str, Values]]:
    """Values by region of the stored windows, by start."""
    found: dict[int, dict[str, Values]] = defaultdict(dict)
    for start, region, _, visitors, requests, errors, p95_ms in rows:
        found[int(start.timestamp())][region] = Values(active_visitors=visitors, requests=requests, errors=errors, p95_ms=p95_ms)
    return found


def active_users(start_s: int, by_region: Mapping[str, Values], *, is_final: bool) -> dict[str, Any]:
    """The document of `active_users:<start>`."""
    regions = {region: found.active_visitors for region, found in by_region.items() if region != ALL}
    visitors = by_region[ALL].active_visitors
    return {"window_start": start_s, "active_visitors": visitors, "by_region": regions, "is_final": is_final}


def regional_health(start_s: int, by_region: Mapping[str, Values], *, is_final: bool) -> dict[str, Any]:
    """The document of `regional_health:<start>`."""
    regions = {
        region: {
            "requests": found.requests,
            "errors": found.errors,
            "error_rate": round(found.error_rate, 6),
            "p95_ms": None if found.p95_ms is None else round(found.p95_ms, 1),
            "active_visitors": found.active_visitors,
        }
        for region, found in by_region.items()
        if region != ALL
    }
    return {"window_start": start_s, "is_final": is_final, "regions": regions}
