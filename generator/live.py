"""The shop as a service: operations at a steady rate until it is stopped.

Between operations no transaction is open, so that a confirmed pause means a quiet source.

Commits do not wait for the disk: at 2 ms per flush, one connection could not do 500 operations per second. A killed Postgres may
therefore lose its last commits, up to three times wal_writer_delay (0.6 s), for all readers alike: logical decoding only sends flushed
changes. Before a pause is confirmed, and at the end, everything is made durable.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from generator.clicks.outbox import Writer
from generator.control import Control
from generator.operation import Operation
from generator.pace import MAX_DEBT_S
from generator.paced import Paced
from generator.report import emit
from generator.sink import LostConnectionError, PostgresSink, RefusedError
from generator.world import World

_BACKOFF_S = (0.2, 5.0)


class Service(Paced):
    """The live shop; `connect` opens the database, `build` builds the world from it; purchases go to the outbox.

    `run` raises if the database is not available at the start; later it is waited for.
    """

    def __init__(
        self, control: Control, rate: float, connect: Callable[[], PostgresSink], build: Callable[[PostgresSink], World], outbox: Writer
    ) -> None:
        super().__init__(control, rate)
        self._connect = connect
        self._build = build
        self._outbox = outbox
        self._sink: PostgresSink | None = None
        self._world: World | None = None
        self._at = datetime.now(UTC)
        self._lost_at: float | None = None
        self._retry_s, self._retry_at = _BACKOFF_S[0], 0.0

    @property
    def _is_connected(self) -> bool:
        return self._sink is not None

    def _begin(self) -> None:
        # Later, a database that is away is waited for.
        self._open()

    def _resumed(self) -> None:
        self._at = datetime.now(UTC)

    def _close(self) -> None:
        if self._sink:
            self._sink.close()

    def _work(self) -> float:
        self._do_due()
        return self._bucket.wait_s

    def _do_due(self) -> None:
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

    def _complete(self) -> None:
        if self._state == "running":
            self._do_due()  # what fell due while sleeping
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

    def _connect_again(self) -> bool:
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
