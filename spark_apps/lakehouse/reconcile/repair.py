"""Repair of differences: rows are read again from the source, and rows missing at the source are deleted.

A snapshot contains no deletes. The delete of a row missing at the source is written to the table's topic, so that it is in bronze and in
every rebuild. Its position is one byte of WAL after the change that wrote the row: no real change has it, and later ones come after it.
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
from lakehouse.source import broker, resnapshot

REPAIR_HEADER = "ebap.repair"
# Types of key columns whose text is, except for a date's zone, the same in Debezium's JSON.
_KEY_TYPES = (*WHOLE_NUMBERS, "STRING", "DATE")
# Each chunk of a snapshot looks up all keys again: with more keys the whole table is read. Not measured.
_MOST_KEYS = 10_000


def send(settings: Settings, outcome: Outcome) -> list[str]:
    """Send the requests that repair one table and return a line for each; the pipeline executes them. Safe to repeat."""
    table, found = outcome.table, outcome.found
    report = []
    keys = sorted(found.missing | found.different)
    if len(keys) > _MOST_KEYS or not found.is_whole:
        report.append(f"{table.full_name}: the whole table is read again, by request {resnapshot.snapshot(settings, table)}")
    elif keys:
        request = resnapshot.snapshot(settings, table, resnapshot.condition_of(settings, table, keys))
        report.append(f"{table.full_name}: {len(keys)} rows are read again, by request {request}")
    if found.missing_at_source:
        _send_deletes(settings, outcome)
        report.append(f"{table.full_name}: deletes sent for {len(found.missing_at_source)} rows missing at the source")
    return report


def delete_record(outcome: Outcome, key: Key, row: Row, source_schema: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the record that deletes a row missing at the source; `row` has the position of its newest change."""
    table, lsn = outcome.table, row.lsn or 0
    texts = dict(zip(table.key, key, strict=True))
    # In the order of the source's key, as Debezium writes it, so that the partition is the same.
    image = {name: _json_value(table.column(name), texts[name]) for name in outcome.key_order}
    taken_us = int(outcome.taken_at.timestamp()) * 1_000_000 + outcome.taken_at.microsecond
    source = {
        "schema": source_schema,
        "table": table.name,
        "snapshot": "false",
        "lsn": lsn + 1,
        # Based on that change's position, so that it is ordered after it even if that is a read.
        "sequence": json.dumps([str(lsn), str(lsn + 1)]),
        # Without a transaction it supersedes no other change.
        "txId": None,
        "ts_us": taken_us,
        "ts_ms": taken_us // 1000,
    }
    value = {"before": image, "after": None, "source": source, "op": "d", "ts_ms": taken_us // 1000}
    headers = [(platform_tables.EPOCH_HEADER, str(row.epoch).encode()), (REPAIR_HEADER, b"reconcile")]
    return _json_bytes(image), _json_bytes(value), headers


def _send_deletes(settings: Settings, outcome: Outcome) -> None:
    producer = broker.sender(settings)
    try:
        topic = platform_tables.topic(outcome.table.name)
        sent = []
        for key, row in sorted(outcome.found.missing_at_source.items()):
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
            f"key column {column.name} is a {column.type}: rows missing at the source are deleted by whole numbers, texts and dates only",
            "insert and delete a row of that key at the source instead",
        )
    if column.type in WHOLE_NUMBERS:
        return int(text)
    return f"{text}Z" if column.type == "DATE" else text
