"""Sends records to Kafka, in order by key, each once in its partition, and reports which Kafka has.

The producer is idempotent, so a repeated request adds nothing. Batches are compressed: kafka-python computes checksums in Python, and a
batch of clicks is a tenth of its size.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from generator.clicks.ledger import Place
from generator.clicks.records import Record
from lakehouse.errors import EbapError
from lakehouse.settings import Settings
from lakehouse.source import broker

if TYPE_CHECKING:
    from kafka import KafkaProducer

_LINGER_MS = 20
_BATCH_BYTES = 64 * 1024
_ANSWERS_WITHIN_MS = 3000
_FLUSH_S = 5.0


class BrokerError(EbapError):
    """Kafka does not answer, or has no such topic."""


class Sender:
    """A producer and the records that Kafka has not acknowledged yet."""

    def __init__(self, producer: KafkaProducer, topics: Iterable[str]) -> None:
        from kafka.partitioner.default import murmur2

        self._producer = producer
        self._hash = murmur2
        self._partitions = {topic: _partitions(producer, topic) for topic in topics}
        self._places: dict[tuple[str, bytes], int] = {}
        self._sent: deque[tuple[Record, Any]] = deque()

    @property
    def in_flight(self) -> int:
        """The number of records that were sent and not yet collected."""
        return len(self._sent)

    def send(self, records: Iterable[Record]) -> None:
        """Hand the records to the producer. Raises BrokerError."""
        from kafka.errors import KafkaError

        try:
            for record in records:
                place = self._places.get((record.topic, record.key))
                if place is None:
                    place = self._place(record)
                self._sent.append((record, self._producer.send(record.topic, record.value, record.key, partition=place)))
        except (KafkaError, ValueError) as error:  # ValueError: the topic is no longer there
            raise BrokerError(f"Kafka refuses a record ({type(error).__name__})", "run `make up`") from error

    def collect(self) -> tuple[list[tuple[Record, Place]], list[Record]]:
        """The records that Kafka has, with their places, and those that it may not have; each once, in the order sent."""
        done: list[tuple[Record, Place]] = []
        lost: list[Record] = []
        while self._sent and self._sent[0][1].is_done:
            record, future = self._sent.popleft()
            if future.succeeded():
                done.append((record, future.value))
            else:
                lost.append(record)
        return done, lost

    def flush(self) -> None:
        """Wait until Kafka has everything, or for five seconds."""
        from kafka.errors import KafkaError

        try:
            self._producer.flush(timeout=_FLUSH_S)
        except KafkaError:
            return
        # The futures are set just after the batch that `flush` waits for.
        limit = time.monotonic() + 0.5
        while self._sent and not self._sent[-1][1].is_done and time.monotonic() < limit:
            time.sleep(0.005)

    def close(self) -> None:
        """End the producer; what is in flight is left."""
        self._producer.close(timeout=0)

    def _place(self, record: Record) -> int:
        # As kafka-python's own partitioner, whose hash in Python would take as long as the rest.
        place = (self._hash(record.key) & 0x7FFFFFFF) % self._partitions[record.topic]
        if len(self._places) > 200_000:
            self._places.clear()
        self._places[record.topic, record.key] = place
        return place


def _partitions(producer: KafkaProducer, topic: str) -> int:
    from kafka.errors import KafkaTimeoutError

    try:
        return len(producer.partitions_for(topic))
    except KafkaTimeoutError as error:
        raise BrokerError(f"topic {topic} does not exist", "run `python -m lakehouse topics`") from error


def connect(settings: Settings, topics: Iterable[str]) -> Sender:
    """A sender to these topics. Raises BrokerError."""
    from kafka.errors import KafkaError

    try:
        producer = broker.sender(
            settings,
            linger_ms=_LINGER_MS,
            batch_size=_BATCH_BYTES,
            compression_type="zstd",
            max_request_size=(settings.max_event_kb + 1024) * 1024,
            max_block_ms=_ANSWERS_WITHIN_MS,
            bootstrap_timeout_ms=_ANSWERS_WITHIN_MS,
        )
    except KafkaError as error:
        raise BrokerError(f"Kafka does not answer at {settings.kafka_bootstrap} ({type(error).__name__})", "run `make up`") from error
    try:
        return Sender(producer, topics)
    except EbapError:
        producer.close(timeout=0)
        raise
