"""Repair of differences: rows are read again from the source, and rows missing at the source are deleted.

A snapshot brings no deletes. A ghost's delete is written into the table's topic, so that bronze holds it and every rebuild repeats it:
one byte of the log behind the change that made the ghost, where no real change can be, and before any real one that comes later.
"""

from __future__ import annotations

import json

from lakehouse import platform_tables
from lakehouse.contract import Column
from lakehouse.errors import EbapError
from lakehouse.reconcile.canonical_text import WHOLE_NUMBERS
from lakehouse.reconcile.checksum_diff import Key, Row
from lakehouse.reconcile.compare import Outcome
from lakehouse.settings import Settings
from lakehouse.source import resnapshot

REPAIR_HEADER = "ebap.repair"
# What a ghost's key may be of: their texts are, but for a date's zone, the same in Debezium's JSON.
_KEY_TYPES = (*WHOLE_NUMBERS, "STRING", "DATE")
# Each chunk of the reading looks all of them up anew: beyond it the request is for the whole table. A guess, not measured.
_MOST_KEYS = 10_000


def send(settings: Settings, outcome: Outcome) -> list[str]:
    """Ask for all that mends one table and say what was asked for; the pipeline does it. Safe to repeat."""
    table, found = outcome.table, outcome.found
    said = []
    keys = sorted(found.missing | found.different)
    if len(keys) > _MOST_KEYS or not found.is_whole:
        said.append(f"{table.full_name}: the whole table is read again, by request {resnapshot.snapshot(settings, table)}")
    elif keys:
        request = resnapshot.snapshot(settings, table, resnapshot.condition_of(settings, table, keys))
        said.append(f"{table.full_name}: {len(keys)} rows are read again, by request {request}")
    if found.ghosts:
        _close(settings, outcome)
        said.append(f"{table.full_name}: {len(found.ghosts)} ghosts get a delete")
    return said


def delete_record(outcome: Outcome, key: Key, row: Row, source_schema: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the record that closes a ghost; `row` says where the change stands that made it."""
    table, lsn = outcome.table, row.lsn or 0
    texts = dict(zip(table.key, key, strict=True))
    # In the order of the source's own key: so Debezium writes it, and so the partition is the same.
    image = {name: _json_value(table.column(name), texts[name]) for name in outcome.key_order}
    taken_us = int(outcome.taken_at.timestamp()) * 1_000_000 + outcome.taken_at.microsecond
    source = {
        "schema": source_schema,
        "table": table.name,
        "snapshot": "false",
        "lsn": lsn + 1,
        # At that change's own position: so it stands behind it even where that is a read.
        "sequence": json.dumps([str(lsn), str(lsn + 1)]),
        # Of no transaction: no other change is superseded by it.
        "txId": None,
        "ts_us": taken_us,
        "ts_ms": taken_us // 1000,
    }
    value = {"before": image, "after": None, "source": source, "op": "d", "ts_ms": taken_us // 1000}
    headers = [(platform_tables.EPOCH_HEADER, str(row.epoch).encode()), (REPAIR_HEADER, b"reconcile")]
    return _json_bytes(image), _json_bytes(value), headers


def _close(settings: Settings, outcome: Outcome) -> None:
    from kafka import KafkaProducer  # not there where Airflow's tasks run, which repair nothing

    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks="all")
    try:
        topic = platform_tables.topic(outcome.table.name)
        sent = []
        for key, row in sorted(outcome.found.ghosts.items()):
            key_bytes, value, headers = delete_record(outcome, key, row, settings.source_schema)
            sent.append(producer.send(topic, key=key_bytes, value=value, headers=headers))
        producer.flush()
        for receipt in sent:
            receipt.get(timeout=30)
    finally:
        producer.close()


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _json_value(column: Column, text: str) -> int | str:
    if column.type not in _KEY_TYPES:
        raise EbapError(
            f"key column {column.name} is a {column.type}: a ghost is closed by a key of whole numbers, texts and dates",
            "insert and delete a row of that key at the source instead",
        )
    if column.type in WHOLE_NUMBERS:
        return int(text)
    return f"{text}Z" if column.type == "DATE" else text
