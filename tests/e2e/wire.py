"""What Debezium put on the wire: a key's records as Kafka holds them, in the order of their offsets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from kafka import KafkaConsumer, TopicPartition
from kafka.record import default_records

from lakehouse import platform_tables
from lakehouse.settings import Settings
from tests.e2e.conftest import Platform, until

Key = dict[str, Any]


def _decompressed(data: Any) -> bytes:
    return bytes(pa.CompressedInputStream(pa.BufferReader(bytes(data)), "lz4").read())


# The connector sends lz4, which kafka-python reads with a library that is not installed; Arrow brings the codec.
default_records.lz4_decode = _decompressed
default_records.codecs.has_lz4 = lambda: True


class Envelope(NamedTuple):
    """What places one record; `last_commit` is `source.sequence[0]`, `snapshot` is `source.snapshot`.

    `lsn` of an incremental snapshot's read, which has none, is `source.sequence[1]`: the last commit sent before it.
    """

    partition: int
    offset: int
    op: str
    lsn: int
    last_commit: int | None
    txid: int | None
    snapshot: str
    ts_us: int
    row: dict[str, Any] | None

    def line(self, *columns: str) -> str:
        """One line for people, with these columns of the row."""
        shown = " ".join(f"{name}={str((self.row or {}).get(name))[:40]}" for name in columns)
        return (
            f"  {self.partition}:{self.offset:<6} {self.op} lsn={self.lsn} sequence[0]={self.last_commit} txId={self.txid} "
            f"snapshot={self.snapshot} ts_us={self.ts_us} {shown}"
        )


def envelopes(settings: Settings, table: str, key: Key) -> list[Envelope]:
    """Every record of that key that Kafka holds now; tombstones are left out."""
    return [
        _envelope(record) for record in _records(settings, platform_tables.topic(table)) if record.key and json.loads(record.key) == key
    ]


def until_sent(platform: Platform, table: str, key: Key, is_there: Callable[[list[Envelope]], Any], limit_s: float = 300) -> list[Envelope]:
    """The key's records, once they are what `is_there` looks for."""
    found: list[Envelope] = []

    def look() -> bool:
        found[:] = envelopes(platform.settings, table, key)
        return bool(is_there(found))

    until(look, limit_s, f"records of {table} {key}")
    return found


def shown(name: str, found: Iterable[Envelope], *columns: str) -> str:
    """The records as text, for the test's output."""
    return "\n".join([f"\n{name}", *(envelope.line(*columns) for envelope in found)])


def _records(settings: Settings, topic: str) -> Iterator[Any]:
    """Every record with a value up to the topic's end of now, partition by partition."""
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = consumer.end_offsets(places)
        consumer.assign(places)
        while any(consumer.position(place) < end for place, end in ends.items()):
            for records in consumer.poll(timeout_ms=1000).values():
                yield from (record for record in records if record.value)
    finally:
        consumer.close()


def _envelope(record: Any) -> Envelope:
    value = json.loads(record.value)
    source = value["source"]
    first = json.loads(source["sequence"])[0]
    return Envelope(
        record.partition,
        record.offset,
        value["op"],
        source["lsn"] or (json.loads(source["sequence"])[1] and int(json.loads(source["sequence"])[1])),
        int(first) if first else None,
        source.get("txId"),
        source["snapshot"],
        source["ts_us"],
        value["after"],
    )
