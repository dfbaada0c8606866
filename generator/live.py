"""The shop as a service: operations at a steady rate until it is stopped.

One loop with one state: paused, reconnecting, or running. Between operations no transaction is open, so that a confirmed pause means a
quiet source.

Commits do not wait for the disk: at 2 ms per flush, one connection could not do 500 operations per second. A killed Postgres may
therefore lose its last commits, up to three times wal_writer_delay (0.6 s), for all readers alike: logical decoding only sends flushed
changes. Before a pause is confirmed, and at the end, everything is made durable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from generator.clicks.outbox import Writer
from generator.control import Control, Request
from generator.operation import Operation
from generator.pace import MAX_DEBT_S, Bucket
from generator.report import Meter, emit
from generator.sink import LostConnectionError, PostgresSink, RefusedError
from generator.world import World

_BACKOFF_S = (0.2, 5.0)
_IDLE_S = 0.05


class Service:
    """The live shop; `connect` opens the database, `build` builds the world from it; purchases go to the outbox."""

    def __init__(
        self, control: Control, rate: float, connect: Callable[[], PostgresSink], build: Callable[[PostgresSink], World], outbox: Writer
    ) -> None:
        self._control = control
        self._rate = rate
        self._connect = connect
        self._build = build
        self._outbox = outbox
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
        """End after the current operation; safe to call from a signal handler."""
        self._is_stopping = True

    def run(self, for_s: float | None) -> None:
        """Run until stopped, or for that many seconds. Raises if the database is not available at the start; later it is waited for."""
        self._enter("starting")
        self._open()
        ends = None if for_s is None else time.monotonic() + for_s
        emit("started", target=self._bucket.rate, pid=os.getpid())
        while not self._is_stopping and (ends is None or time.monotonic() < ends):
            time.sleep(self._step())
        self._settle()
        emit("stopped", target=self._bucket.rate, **self._meter.overall())
        self._enter("stopped")
        if self._sink:
            self._sink.close()

    def _step(self) -> float:
        """Apply the current request, then do the operations that are due; returns how long to sleep, in seconds."""
        self._apply(self._control.request())
        if self._request.is_paused:
            return _IDLE_S
        self._meter.start()
        if self._meter.is_due:
            emit("pace", target=self._bucket.rate, lag_s=round(self._bucket.lag_s, 3), **self._meter.window())
            self._enter(self._state)
        if self._sink is None and not self._reopen():
            return _IDLE_S
        if self._state != "running":
            self._bucket.reset()
            self._at = datetime.now(UTC)
            self._enter("running")
        self._work()
        return self._bucket.wait_s

    def _apply(self, request: Request) -> None:
        is_new, self._request = request.number != self._request.number, request
        rate = request.rate or self._rate
        if rate != self._bucket.rate:
            emit("rate", before=self._bucket.rate, target=rate)
            self._bucket.set_rate(rate)
        if request.is_paused and self._state != "paused":
            self._settle()
            self._enter("paused")
            emit("paused", total_ops=self._meter.total, cure="python -m generator resume")
        elif is_new:
            self._enter(self._state)

    def _work(self) -> None:
        # A backlog is processed in parts, so that a request is seen within a tenth of a second.
        for _ in range(min(self._bucket.due(), max(1, int(self._bucket.rate / 10)))):
            if self._sink is None or self._world is None:
                return
            self._do(self._sink, self._world)

    def _do(self, sink: PostgresSink, world: World) -> None:
        try:
            self._outbox.commit(sink, self._next(world))
            self._bucket.paid()
            self._meter.total += 1
        except RefusedError as error:
            emit("refused", error=error.what, cure="another writer changed the shop: its state is read again")
            self._reload()
        except LostConnectionError as error:
            self._lose(error)

    def _settle(self) -> None:
        if self._state == "running":
            self._work()  # what fell due while sleeping
        self._meter.stop()
        try:
            if self._sink:
                self._sink.settle()
        except LostConnectionError as error:
            self._lose(error)

    def _next(self, world: World) -> Operation:
        # The shop's clock advances evenly, so that the sequence does not depend on scheduling jitter; its lag is limited by MAX_DEBT_S.
        self._at += timedelta(seconds=1 / self._bucket.rate)
        now = datetime.now(UTC)
        if now - self._at > timedelta(seconds=MAX_DEBT_S + 1):
            self._at = now
        return world.step(self._at)

    def _open(self) -> None:
        sink = self._connect()
        self._outbox.recover(sink)
        self._world = self._build(sink)
        self._sink = sink

    def _reload(self) -> None:
        try:
            if self._sink:
                self._world = self._build(self._sink)
        except LostConnectionError as error:
            self._lose(error)

    def _lose(self, error: LostConnectionError) -> None:
        emit("lost", error=error.what, cure="retried until Postgres is available; the current operation is not repeated")
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
        emit("reconnected", after_s=round(time.monotonic() - (self._lost_at or time.monotonic()), 1))
        return True

    def _enter(self, state: str) -> None:
        self._state = state
        self._control.report(
            state=state,
            pid=os.getpid(),
            target=self._bucket.rate,
            request=self._request.number,
            told_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            **self._meter.overall(),
        )
