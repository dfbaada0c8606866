"""Repair of what reconciliation found: rows are read again from the source, and a row that it has no more is closed.

A snapshot brings no deletes. A ghost's delete is written into the table's topic, so that bronze holds it and every rebuild repeats it:
one byte of the log behind the change that made the ghost, where no real change can be, and before any real one that comes later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from lakehouse import ledger, signals
from lakehouse.contract import Column, Table
from lakehouse.ranges import Key, Row
from lakehouse.reconciliation import Outcome
from lakehouse.rendering import WHOLE_NUMBERS
from lakehouse.settings import Settings

REPAIR_HEADER = "ebap.repair"
# What a key may be of: their texts are the same in SQL and, but for a date's zone, in Debezium's JSON.
_KEY_TYPES = (*WHOLE_NUMBERS, "STRING", "DATE")
# What ebap.signal holds of a request, 2048, with room for the rest of it.
_CONDITION_CHARACTERS = 1700


class RepairError(RuntimeError):
    """A repair that cannot be made; the message says why and what to do instead."""


def send(settings: Settings, outcome: Outcome) -> list[str]:
    """Ask for all that mends one table and say what was asked for; the pipeline does it. Safe to repeat."""
    table, found = outcome.table, outcome.found
    said = []
    keys = sorted(found.missing | found.different)
    if not found.is_whole:
        # Too much to name it all: every row is read again.
        said.append(f"{table.full_name}: the whole table is read again, by request {signals.snapshot(settings, table)}")
    else:
        for part, condition in conditions(table, keys):
            said.append(f"{table.full_name}: {len(part)} rows are read again, by request {signals.snapshot(settings, table, condition)}")
    if found.ghosts:
        _close(settings, outcome)
        said.append(f"{table.full_name}: {len(found.ghosts)} ghosts get a delete")
    return said


def conditions(table: Table, keys: Sequence[Key]) -> Iterator[tuple[list[Key], str]]:
    """Keys and the SQL condition that selects them, as many at a time as one request holds."""
    names = ", ".join(f'"{name}"' for name in table.key)
    part: list[Key] = []
    texts: list[str] = []
    for key in keys:
        text = f"({', '.join(_literal(table.column(name), value) for name, value in zip(table.key, key, strict=True))})"
        # Measured as it travels: JSON in ASCII.
        if texts and len(json.dumps(", ".join([*texts, text]))) > _CONDITION_CHARACTERS:
            yield part, f"({names}) IN ({', '.join(texts)})"
            part, texts = [], []
        part.append(key)
        texts.append(text)
    if part:
        yield part, f"({names}) IN ({', '.join(texts)})"


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
    headers = [(ledger.EPOCH_HEADER, str(row.epoch).encode()), (REPAIR_HEADER, b"reconcile")]
    return _json_bytes(image), _json_bytes(value), headers


def _close(settings: Settings, outcome: Outcome) -> None:
    from kafka import KafkaProducer  # not there where Airflow's tasks run, which repair nothing

    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks="all")
    try:
        topic = ledger.topic(outcome.table.name)
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
    _refuse_type(column)
    if column.type in WHOLE_NUMBERS:
        return int(text)
    return f"{text}Z" if column.type == "DATE" else text


def _literal(column: Column, text: str) -> str:
    _refuse_type(column)
    if column.type in WHOLE_NUMBERS:
        return text
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if "\\" not in text else "E'{}'".format(quoted.replace("\\", "\\\\"))


def _refuse_type(column: Column) -> None:
    if column.type not in _KEY_TYPES:
        raise RepairError(
            f"key column {column.name} is a {column.type}: rows are repaired by keys of whole numbers, texts and dates; "
            "have the whole table read again instead"
        )
