"""Token bucket: how many operations are due now at a given rate; it catches up after a delay."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_DEBT_S = 5.0  # an outage longer than this is not made up for: a burst would exceed the requested load
_TICK_S = 0.01
_LONGEST_WAIT_S = 0.1  # so that a request to pause is seen soon at any rate


class Bucket:
    """Whole operations due at `rate` per second of a monotonic clock; the first is due after one interval."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._owed = 0.0
        self._last = clock()

    def due(self) -> int:
        """The number of operations due now; call `paid` once they are done."""
        now = self._clock()
        self._owed = min(self._owed + (now - self._last) * self.rate, max(self.rate * MAX_DEBT_S, 1.0))
        self._last = now
        return int(self._owed)

    def paid(self, count: int = 1) -> None:
        """That many operations were done."""
        self._owed -= count

    @property
    def lag_s(self) -> float:
        """The backlog in seconds."""
        return max(self._owed - 1, 0.0) / self.rate

    @property
    def wait_s(self) -> float:
        """How long to sleep, in seconds: until the next operation is due, limited so that requests are seen."""
        if self._owed >= 1:
            return 0.0
        return min(max((1 - self._owed) / self.rate, _TICK_S), _LONGEST_WAIT_S)

    def reset(self) -> None:
        """Discard the backlog, after a pause or an outage."""
        self._owed = 0.0
        self._last = self._clock()

    def set_rate(self, rate: float) -> None:
        """Change the rate from now on."""
        self.due()
        self.rate = rate
        self._owed = min(self._owed, 1.0)
