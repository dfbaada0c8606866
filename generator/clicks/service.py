"""The clicks as a service: records at a steady rate until it is stopped; while Kafka is away it waits.

The visits of purchases come out of the shop's outbox, as soon as their order is committed; visits that buy nothing fill up to the rate.
One loop in one thread: a record's time, its place in the ledger and the outbox need no lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from generator.clicks.events import SECOND_US
from generator.clicks.ledger import Ledger
from generator.clicks.outbox import Reader
from generator.clicks.records import TELEMETRY, Record
from generator.clicks.sender import BrokerError, Sender
from generator.clicks.traffic import Traffic
from generator.control import Control, Request
from generator.pace import MAX_DEBT_S, Bucket
from generator.report import Meter, emit

_TICK_S = 0.025
_IDLE_S = 0.05
_RETRY_S = 2.0
_RENEW_S = 60.0
_MOST_AT_ONCE = 1_000  # a twentieth of a second
_MOST_IN_FLIGHT = 20_000  # about 30 MB


class Clock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    @staticmethod
    def now_us() -> int:
        """The time in microseconds since 1970, in whole milliseconds as Kafka's: an event of this millisecond would be after it."""
        return time.time_ns() // 1_000_000 * 1000


_CLOCK = Clock()


class Clicks:
    """The service. `connect` opens Kafka and raises BrokerError; `renew` reads the shop's users and products again."""

    def __init__(
        self,
        control: Control,
        rate: float,
        traffic: Traffic,
        connect: Callable[[], Sender],
        renew: Callable[[], None],
        outbox_folder: Path,
        ledger_path: Path,
        clock: Clock = _CLOCK,
    ) -> None:
        self._clock = clock
        self._control, self._rate, self._traffic = control, rate, traffic
        self._connect, self._renew = connect, renew
        self._outbox_folder, self._ledger_path = outbox_folder, ledger_path
        self._outbox = Reader(outbox_folder)
        self._request = Request(number=-1)
        self._bucket = Bucket(control.request().rate or rate, clock.monotonic)
        self._meter = Meter(clock.monotonic)
        self._ledger: Ledger | None = None
        self._sender: Sender | None = None
        self._state = "starting"
        self._is_stopping = False
        self._begin_us = self._clock.now_us()
        self._retry_at = self._renew_at = self._look_at = 0.0
        self._lost = 0

    def stop(self) -> None:
        """End after the current batch; safe to call from a signal handler."""
        self._is_stopping = True

    def run(self, for_s: float | None) -> None:
        """Run until stopped, or for that many seconds."""
        self._enter("starting")
        ends = None if for_s is None else self._clock.monotonic() + for_s
        emit("started", target=self._bucket.rate, pid=os.getpid())
        while not self._is_stopping and (ends is None or self._clock.monotonic() < ends):
            self._clock.sleep(self._step())
        self._quiet()
        emit("stopped", target=self._bucket.rate, **self._meter.overall())
        self._enter("stopped")
        if self._sender:
            self._sender.close()
        self._keep_ledger(False)

    def _step(self) -> float:
        self._apply(self._control.request())
        if self._request.is_paused:
            return _IDLE_S
        self._meter.start()
        if self._meter.is_due:
            emit("pace", target=self._bucket.rate, lag_s=round(self._bucket.lag_s, 3), lost=self._lost, **self._meter.window())
            self._enter(self._state)
        if self._sender is None and not self._open():
            return _IDLE_S
        if self._state != "running":
            self._bucket.reset()
            self._begin_us = self._clock.now_us()
            self._enter("running")
        self._collect()
        self._work()
        return max(self._bucket.wait_s, _TICK_S) if self._bucket.lag_s < _TICK_S else 0.0

    def _apply(self, request: Request) -> None:
        is_new, self._request = request.number != self._request.number, request
        if is_new:
            self._traffic.chaos.set(request.faults)
            self._keep_ledger(request.has_ledger)
        rate = request.rate or self._rate
        if rate != self._bucket.rate:
            emit("rate", before=self._bucket.rate, target=rate)
            self._bucket.set_rate(rate)
        if request.is_paused and self._state != "paused":
            self._quiet()
            self._enter("paused")
            emit("paused", total_ops=self._meter.total, cure="python -m generator resume")
        elif is_new:
            self._enter(self._state)

    def _work(self) -> None:
        now = self._clock.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + _RENEW_S
            self._renew()
        if now >= self._look_at:
            self._look_at = now + _IDLE_S
            for purchase in self._outbox.committed():
                self._outbox.sending(self._traffic.buy(purchase))
        end_us = self._clock.now_us()
        if self._sender is None or self._sender.in_flight > _MOST_IN_FLIGHT or end_us <= self._begin_us:
            return
        # A backlog is sent in parts, so that a request is seen soon.
        due = min(self._bucket.due(), max(1, int(self._bucket.rate / 4)), _MOST_AT_ONCE)
        begin_us = max(self._begin_us, end_us - int(MAX_DEBT_S * SECOND_US))
        batch = self._traffic.take(due, begin_us, end_us)
        self._begin_us = end_us
        self._send(batch.records + batch.telemetry)
        self._bucket.paid(batch.paid)
        self._meter.total += len(batch.records)

    def _send(self, records: list[Record]) -> None:
        if self._sender is None or not records:
            return
        if self._ledger:
            self._ledger.sending(records)
        try:
            self._sender.send(records)
        except BrokerError as error:
            self._lose(error)

    def _collect(self) -> None:
        if self._sender is None:
            return
        done, lost = self._sender.collect()
        if self._ledger and done:
            self._ledger.acknowledged(done)
        for record, _ in done:
            if record.becomes != TELEMETRY:
                self._traffic.chaos.acknowledged(record)
                self._outbox.acknowledged(record.event_id)
        self._lost += len(lost)
        self._send([record for record in lost if self._outbox.is_waiting_for(record.event_id)])

    def _quiet(self) -> None:
        """Send what was bought until now, and wait until Kafka has everything that was sent."""
        if self._state == "running":
            self._look_at = 0.0
            self._work()
        self._meter.stop()
        if self._sender:
            self._sender.flush()
            self._collect()

    def _lose(self, error: BrokerError) -> None:
        emit("lost", error=error.what, cure="retried until Kafka is available; the visits of purchases are sent again")
        if self._sender:
            self._lost += self._sender.in_flight
            self._sender.close()
        self._sender = None
        self._traffic.drop_purchases()
        self._outbox = Reader(self._outbox_folder)
        self._enter("waiting")

    def _open(self) -> bool:
        if self._clock.monotonic() < self._retry_at:
            return False
        try:
            self._sender = self._connect()
        except BrokerError as error:
            if self._state != "waiting":
                emit("waiting", error=error.what, cure=error.cure)
                self._enter("waiting")
            self._retry_at = self._clock.monotonic() + _RETRY_S
            return False
        emit("connected")
        return True

    def _keep_ledger(self, is_wanted: bool) -> None:
        if self._ledger and not is_wanted:
            self._ledger.close()
            self._ledger = None
        elif is_wanted and not self._ledger:
            self._ledger = Ledger(self._ledger_path)

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
            lost=self._lost,
            **self._meter.overall(),
        )
