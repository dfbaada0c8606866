"""The clicks as a service: records at a steady rate until it is stopped; while Kafka is away it waits.

The visits of purchases come out of the shop's outbox, as soon as their order is committed; visits that buy nothing fill up to the rate.
One loop in one thread: a record's time, its place in the ledger and the outbox need no lock.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from generator.clicks.events import SECOND_US
from generator.clicks.ledger import Ledger
from generator.clicks.outbox import Reader
from generator.clicks.records import TELEMETRY, Record
from generator.clicks.sender import BrokerError, Sender
from generator.clicks.traffic import Traffic
from generator.control import Control, Request
from generator.pace import MAX_DEBT_S
from generator.paced import CLOCK, IDLE_S, Clock, Paced
from generator.report import emit

_TICK_S = 0.025
_RETRY_S = 2.0
_RENEW_S = 60.0
_MOST_AT_ONCE = 1_000  # a twentieth of a second
_MOST_IN_FLIGHT = 20_000  # about 30 MB


class Clicks(Paced):
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
        clock: Clock = CLOCK,
    ) -> None:
        super().__init__(control, rate, clock)
        self._traffic = traffic
        self._connect, self._renew = connect, renew
        self._outbox_folder, self._ledger_path = outbox_folder, ledger_path
        self._outbox = Reader(outbox_folder)
        self._ledger: Ledger | None = None
        self._sender: Sender | None = None
        self._begin_us = self._clock.now_us()
        self._retry_at = self._renew_at = self._look_at = 0.0
        self._lost = 0

    @property
    def _is_connected(self) -> bool:
        return self._sender is not None

    def _resumed(self) -> None:
        self._begin_us = self._clock.now_us()

    def _requested(self, request: Request) -> None:
        self._traffic.chaos.set(request.faults)
        self._keep_ledger(request.has_ledger)

    def _losses(self) -> dict[str, Any]:
        return {"lost": self._lost}

    def _close(self) -> None:
        if self._sender:
            self._sender.close()
        self._keep_ledger(False)

    def _work(self) -> float:
        self._collect()
        self._send_due()
        return max(self._bucket.wait_s, _TICK_S) if self._bucket.lag_s < _TICK_S else 0.0

    def _send_due(self) -> None:
        now = self._clock.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + _RENEW_S
            self._renew()
        if now >= self._look_at:
            self._look_at = now + IDLE_S
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

    def _complete(self) -> None:
        """Send what was bought until now, and wait until Kafka has everything that was sent."""
        if self._state == "running":
            self._look_at = 0.0
            self._send_due()
            held = self._traffic.chaos.out_of_order()
            self._send(held)
            self._meter.total += len(held)
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

    def _connect_again(self) -> bool:
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
