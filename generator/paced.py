"""A service with a pace: one loop with one state, which requests pause, resume and change.

Both the shop and its visitors are one. A pause is confirmed once what was begun is complete.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

from generator.control import Control, Request
from generator.pace import Bucket
from generator.report import Meter, emit

IDLE_S = 0.05


class Clock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    @staticmethod
    def now_us() -> int:
        """The time in microseconds since 1970, in whole milliseconds as Kafka's: an event of this millisecond would be after it."""
        return time.time_ns() // 1_000_000 * 1000


CLOCK = Clock()


class Paced(ABC):
    """Runs until it is stopped, at the rate of the newest request, or at its own where that has none."""

    def __init__(self, control: Control, rate: float, clock: Clock = CLOCK) -> None:
        self._control, self._rate, self._clock = control, rate, clock
        self._request = Request(number=-1)
        self._bucket = Bucket(control.request().rate or rate, clock.monotonic)
        self._meter = Meter(clock.monotonic)
        self._state = "starting"
        self._is_stopping = False

    def stop(self) -> None:
        """End after the current work; safe to call from a signal handler."""
        self._is_stopping = True

    def run(self, for_s: float | None) -> None:
        """Run until stopped, or for that many seconds."""
        self._enter("starting")
        self._begin()
        ends = None if for_s is None else self._clock.monotonic() + for_s
        emit("started", target=self._bucket.rate, pid=os.getpid())
        while not self._is_stopping and (ends is None or self._clock.monotonic() < ends):
            self._clock.sleep(self._step())
        self._complete()
        emit("stopped", target=self._bucket.rate, **self._meter.overall())
        self._enter("stopped")
        self._close()

    @property
    @abstractmethod
    def _is_connected(self) -> bool:
        """Whether the work can be done."""

    @abstractmethod
    def _connect_again(self) -> bool:
        """Connect, if it is time to try; whether that was possible."""

    @abstractmethod
    def _work(self) -> float:
        """Do what is due; the seconds until more is."""

    @abstractmethod
    def _complete(self) -> None:
        """Complete what was begun, and stop the meter."""

    @abstractmethod
    def _close(self) -> None:
        """Close what is open, at the end."""

    def _begin(self) -> None:  # noqa: B027  (a hook, as the next two)
        """What must be possible at the start."""

    def _resumed(self) -> None:  # noqa: B027
        """Work begins now, after a start, a pause or a lost connection."""

    def _requested(self, request: Request) -> None:  # noqa: B027
        """A new request was read."""

    def _losses(self) -> dict[str, Any]:
        """Figures of what was lost, for the log and the status."""
        return {}

    def _step(self) -> float:
        """Apply the current request, then do what is due; returns how long to sleep, in seconds."""
        self._apply(self._control.request())
        if self._request.is_paused:
            return IDLE_S
        self._meter.start()
        if self._meter.is_due:
            emit("pace", target=self._bucket.rate, lag_s=round(self._bucket.lag_s, 3), **self._losses(), **self._meter.window())
            self._enter(self._state)
        if not self._is_connected and not self._connect_again():
            return IDLE_S
        if self._state != "running":
            self._bucket.reset()
            self._resumed()
            self._enter("running")
        return self._work()

    def _apply(self, request: Request) -> None:
        is_new, self._request = request.number != self._request.number, request
        if is_new:
            self._requested(request)
        rate = request.rate or self._rate
        if rate != self._bucket.rate:
            emit("rate", before=self._bucket.rate, target=rate)
            self._bucket.set_rate(rate)
        if request.is_paused and self._state != "paused":
            self._complete()
            self._enter("paused")
            emit("paused", total_ops=self._meter.total, cure="python -m generator resume")
        elif is_new:
            self._enter(self._state)

    def _enter(self, state: str) -> None:
        self._state = state
        self._control.report(
            state=state,
            pid=os.getpid(),
            target=self._bucket.rate,
            request=self._request.number,
            told_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            faults=self._request.faults,
            has_ledger=self._request.has_ledger,
            **self._losses(),
            **self._meter.overall(),
        )
