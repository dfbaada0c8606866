"""The shop as a service: operations at a steady rate until it is stopped.

One loop with one state: paused, without a connection, or selling. It is in no transaction between two operations, so that a
pause that it has confirmed stands for a quiet source.

Commits do not wait for the disk: with a disk that takes 2 ms a flush, one connection could not do 500 operations a second. A
killed Postgres may so lose its last commits, up to three times wal_writer_delay (0.6 s), but for every reader alike: decoding only
sends what was flushed. Before a pause is confirmed, and at the end, everything is made durable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from generator.control import Control, Request
from generator.operation import Operation
from generator.pace import MAX_DEBT_S, Bucket
from generator.report import Meter, say
from generator.sink import LostConnectionError, PostgresSink, RefusedError
from generator.world import World

_BACKOFF_S = (0.2, 5.0)
_IDLE_S = 0.05


class Service:
    """A shop that runs in the present; `connect` opens the database, `build` makes the world from it."""

    def __init__(self, control: Control, rate: float, connect: Callable[[], PostgresSink], build: Callable[[PostgresSink], World]) -> None:
        self._control = control
        self._rate = rate
        self._connect = connect
        self._build = build
        self._request = Request(number=-1)
        self._bucket = Bucket(control.request().rate or rate)
        self._meter = Meter()
        self._sink: PostgresSink | None = None
        self._world: World | None = None
        self._state = "starting"
        self._is_stopping = False
        self._at = datetime.now(UTC)
        self._lost_at: float | None = None
        self._retry_s, self._retry_at = _BACKOFF_S[0], 0.0

    def stop(self) -> None:
        """End after the operation under way; safe to call from a signal handler."""
        self._is_stopping = True

    def run(self, for_s: float | None) -> None:
        """Run until stopped, or for that many seconds. A database that is not there at the start raises; later it is waited for."""
        self._enter("starting")
        self._open()
        ends = None if for_s is None else time.monotonic() + for_s
        say("started", target=self._bucket.rate, pid=os.getpid())
        while not self._is_stopping and (ends is None or time.monotonic() < ends):
            time.sleep(self._turn())
        self._settle()
        say("stopped", target=self._bucket.rate, **self._meter.overall())
        self._enter("stopped")
        if self._sink:
            self._sink.close()

    def _turn(self) -> float:
        """One look at the requests, then what is due; returns how long to sleep, in seconds."""
        self._follow(self._control.request())
        if self._request.is_paused:
            return _IDLE_S
        self._meter.go()
        if self._meter.is_due:
            say("pace", target=self._bucket.rate, lag_s=round(self._bucket.lag_s, 3), **self._meter.window())
            self._enter(self._state)
        if self._sink is None and not self._reopen():
            return _IDLE_S
        if self._state != "running":
            self._bucket.forgive()
            self._at = datetime.now(UTC)
            self._enter("running")
        self._work()
        return self._bucket.wait_s

    def _follow(self, request: Request) -> None:
        is_new, self._request = request.number != self._request.number, request
        rate = request.rate or self._rate
        if rate != self._bucket.rate:
            say("rate", before=self._bucket.rate, target=rate)
            self._bucket.set_rate(rate)
        if request.is_paused and self._state != "paused":
            self._settle()
            self._enter("paused")
            say("paused", total_ops=self._meter.total, cure="python -m generator resume")
        elif is_new:
            self._enter(self._state)

    def _work(self) -> None:
        # A backlog is worked off in parts, so that a request is seen within a tenth of a second.
        for _ in range(min(self._bucket.due(), max(1, int(self._bucket.rate / 10)))):
            if self._sink is None or self._world is None:
                return
            self._do(self._sink, self._world)

    def _do(self, sink: PostgresSink, world: World) -> None:
        try:
            sink.apply(self._next(world))
            self._bucket.paid()
            self._meter.total += 1
        except RefusedError as error:
            say("refused", error=error.what, cure="another writer changed the shop: its state is read again")
            self._reload()
        except LostConnectionError as error:
            self._lose(error)

    def _settle(self) -> None:
        if self._state == "running":
            self._work()  # what fell due while sleeping
        self._meter.halt()
        try:
            if self._sink:
                self._sink.settle()
        except LostConnectionError as error:
            self._lose(error)

    def _next(self, world: World) -> Operation:
        # The shop's clock steps evenly, so that the sequence does not follow the scheduler's jitter; it never trails by more than the debt.
        self._at += timedelta(seconds=1 / self._bucket.rate)
        now = datetime.now(UTC)
        if now - self._at > timedelta(seconds=MAX_DEBT_S + 1):
            self._at = now
        return world.step(self._at)

    def _open(self) -> None:
        sink = self._connect()
        self._world = self._build(sink)
        self._sink = sink

    def _reload(self) -> None:
        try:
            if self._sink:
                self._world = self._build(self._sink)
        except LostConnectionError as error:
            self._lose(error)

    def _lose(self, error: LostConnectionError) -> None:
        say("lost", error=error.what, cure="tried again until Postgres is back; an operation under way is not repeated")
        if self._sink:
            self._sink.close()
        self._sink = self._world = None
        self._lost_at, self._retry_s, self._retry_at = time.monotonic(), _BACKOFF_S[0], 0.0
        self._enter("reconnecting")

    def _reopen(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        try:
            self._open()
        except LostConnectionError:
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(self._retry_s * 2, _BACKOFF_S[1])
            return False
        say("reconnected", after_s=round(time.monotonic() - (self._lost_at or time.monotonic()), 1))
        return True

    def _enter(self, state: str) -> None:
        self._state = state
        self._control.tell(
            state=state,
            pid=os.getpid(),
            target=self._bucket.rate,
            request=self._request.number,
            told_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            **self._meter.overall(),
        )
