"""Output of a running generator: one JSON object per line, with the rate that it reaches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

EVERY_S = 10.0


def emit(event: str, **facts: Any) -> None:
    """Print one event as a line on standard output."""
    print(json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}), flush=True)


class Meter:
    """Counts operations and the time during which they were due; pauses are excluded, outages are not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.total = 0
        self._active_s = 0.0
        self._since: float | None = None
        self._window: tuple[int, float] = (0, 0.0)

    def start(self) -> None:
        """Start the clock unless it runs."""
        if self._since is None:
            self._since = self._clock()

    def stop(self) -> None:
        """Stop the clock."""
        self._active_s = self.active_s
        self._since = None

    @property
    def active_s(self) -> float:
        """Seconds for which the clock ran."""
        return self._active_s + (0.0 if self._since is None else self._clock() - self._since)

    @property
    def is_due(self) -> bool:
        """Whether the next report is due."""
        return self.active_s - self._window[1] >= EVERY_S

    def window(self) -> dict[str, float]:
        """Operations and actual rate in the current window; starts a new one."""
        done, seconds = self.total - self._window[0], self.active_s - self._window[1]
        self._window = (self.total, self.active_s)
        return {"ops": done, "rate": _rate(done, seconds), "total_ops": self.total}

    def overall(self) -> dict[str, float]:
        """Operations and actual rate since the start."""
        return {"total_ops": self.total, "rate": _rate(self.total, self.active_s), "seconds": round(self.active_s, 3)}


def _rate(done: int, seconds: float) -> float:
    return round(done / seconds, 3) if seconds > 0 else 0.0
