"""Output of a running generator: one JSON object per line, with the rate that it reaches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

EVERY_S = 10.0


def say(event: str, **facts: Any) -> None:
    """One line on standard output."""
    print(json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}), flush=True)


class Meter:
    """Counts operations and the time in which they were wanted; a pause is not counted, an outage is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.total = 0
        self._wanted_s = 0.0
        self._since: float | None = None
        self._window: tuple[int, float] = (0, 0.0)

    def go(self) -> None:
        """Operations are wanted from now on."""
        if self._since is None:
            self._since = self._clock()

    def halt(self) -> None:
        """No operations are wanted from now on."""
        self._wanted_s = self.wanted_s
        self._since = None

    @property
    def wanted_s(self) -> float:
        """Seconds in which operations were wanted."""
        return self._wanted_s + (0.0 if self._since is None else self._clock() - self._since)

    @property
    def is_due(self) -> bool:
        """Whether it is time for a line."""
        return self.wanted_s - self._window[1] >= EVERY_S

    def window(self) -> dict[str, float]:
        """Operations and real rate since the window before; begins a new one."""
        done, seconds = self.total - self._window[0], self.wanted_s - self._window[1]
        self._window = (self.total, self.wanted_s)
        return {"ops": done, "rate": _rate(done, seconds), "total_ops": self.total}

    def overall(self) -> dict[str, float]:
        """Operations and real rate since the beginning."""
        return {"total_ops": self.total, "rate": _rate(self.total, self.wanted_s), "seconds": round(self.wanted_s, 3)}


def _rate(done: int, seconds: float) -> float:
    return round(done / seconds, 3) if seconds > 0 else 0.0
