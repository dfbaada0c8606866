"""Telemetry of the shop's servers: one record per service, region and second, whose requests are the clicks of that second.

The counts by latency are not cumulative: they add up to `requests`. A second without requests has its records too.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate

from generator.clicks.events import SECOND_US, TELEMETRY_TOPIC, Event, instant
from generator.clicks.records import TELEMETRY, Record
from generator.pools import REGIONS

SERVICES = ("web", "search", "checkout")
BUCKETS = ("le_10_ms", "le_25_ms", "le_50_ms", "le_100_ms", "le_250_ms", "le_500_ms", "le_1000_ms", "over_1000_ms")
_SERVICE_OF = {"search": "search", "checkout": "checkout", "purchase": "checkout"}
# Share of requests by bucket; half of the web's take less than 25 ms.
_LATENCY = {
    "web": (0.18, 0.34, 0.26, 0.14, 0.06, 0.015, 0.004, 0.001),
    "search": (0.04, 0.14, 0.30, 0.29, 0.17, 0.045, 0.012, 0.003),
    "checkout": (0.01, 0.05, 0.17, 0.32, 0.31, 0.10, 0.03, 0.01),
}
_LATENCY_IN_OUTAGE = (0.0, 0.0, 0.0, 0.0, 0.05, 0.10, 0.15, 0.70)
_ERROR_SHARE = {"web": 0.002, "search": 0.004, "checkout": 0.006}


class Telemetry:
    """Counts the clicks of the current second."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"{seed}:telemetry")
        self._second: int | None = None
        self._requests: Counter[tuple[str, str]] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()

    def count(self, events: Iterable[Event], region_out: str | None = None) -> None:
        """Count these clicks in the current second; those of a region that is out fail."""
        for event in events:
            place = (_SERVICE_OF.get(event.event_type, "web"), event.visit.visitor.region)
            (self._failed if place[1] == region_out else self._requests)[place] += 1

    def records(self, now_us: int) -> list[Record]:
        """The records of the second that ended; none while it goes on."""
        second = now_us // SECOND_US
        ended, self._second = self._second, second
        if ended is None or ended == second:
            return []
        records = [self._record(service, region, ended * SECOND_US) for region in REGIONS for service in SERVICES]
        self._requests.clear()
        self._failed.clear()
        return records

    def _record(self, service: str, region: str, at_us: int) -> Record:
        rng, fine, failed = self._rng, self._requests[service, region], self._failed[service, region]
        by_bucket = Counter(_buckets(rng, _LATENCY[service], fine) + _buckets(rng, _LATENCY_IN_OUTAGE, failed))
        content = {
            "service": service,
            "region": region,
            "measured_at": instant(at_us),
            "requests": fine + failed,
            "errors": failed + sum(rng.random() < _ERROR_SHARE[service] for _ in range(fine)),
            **{bucket: by_bucket[bucket] for bucket in BUCKETS},
        }
        return Record(TELEMETRY_TOPIC, region.encode(), json.dumps(content).encode(), "", at_us, becomes=TELEMETRY)


def _buckets(rng: random.Random, shares: tuple[float, ...], count: int) -> list[str]:
    return rng.choices(BUCKETS, cum_weights=list(accumulate(shares)), k=count)
