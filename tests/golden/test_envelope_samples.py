"""Records of a real Debezium 3.7, each compared with the change at the source that produced it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.transforms.records.envelope import Decoder
from lakehouse.transforms.records.received import Record
from tests.unit import wire

_SAMPLES = [json.loads(line) for line in (Path(__file__).parent / "envelope_samples.jsonl").read_text().splitlines()]
_KINDS = {"r": "read", "c": "upsert", "u": "upsert", "d": "delete", "t": "truncate"}

# Cases that are refused, and how their detail begins, in the order of the declaration.
_REFUSED = {
    "numeric NaN": "price_usd: 'NAN' is not a DECIMAL(10,2)",
    "timestamp and date infinity": "launched_on: '+5877611-06-21Z' is not a DATE; created_at: 'infinity' is not a TIMESTAMP; updated_at: '",
    "timestamp and date BC": "launched_on: '-0043-03-15Z' is not a DATE; created_at: '-4712-01-01T00:00:00.000000Z' is not a TIMESTAMP",
    "timestamp and date beyond year 9999": "launched_on: '+21016-11-04Z' is not a DATE; created_at: '+21016-11-04T00:00:00.000000Z'",
    "numbers at their limits": "launched_on: '+21016-11-04Z' is not a DATE",  # the row of the case before, updated
}


Pairs = list[tuple[dict[str, Any], dict[str, Any]]]  # a sample, and its decoded columns


@pytest.fixture(scope="module")
def decoded() -> Pairs:
    """Each sample of a declared table and its decoded columns by name."""
    pairs = []
    for table in tables.SOURCES:
        samples = [sample for sample in _SAMPLES if sample["topic"] == f"ebap.cdc.{table.name}"]
        received = wire.records([_received(sample, table.name) for sample in samples])
        for sample, record in zip(samples, received, strict=True):
            pairs.append((sample, _decoded(table, record)))
    return pairs


def _decoded(table: Table, record: Record) -> dict[str, Any]:
    result = Decoder(table, [wire.PLACEHOLDER], "shop").decode([record])
    found: list[dict[str, Any]] = [
        *({**dict(zip(table.column_names, change.values, strict=True)), **change._asdict()} for change in result.changes),
        *({"kind": "truncate", "lsn": truncate.lsn} for truncate in result.truncates),
        *({"kind": "tombstone"} for _ in result.tombstones),
        *({"reason": fault.reason, "detail": fault.detail, "lsn": fault.lsn} for fault in result.faults),
    ]
    (row,) = found
    return row


def _received(sample: dict[str, Any], table: str) -> wire.Received:
    key, value = (None if sample[part] is None else sample[part].encode() for part in ("key", "value"))
    return wire.Received(value, key=key, headers=tuple((name, text) for name, text in sample["headers"]), table=table)


def _row(decoded: Pairs, case: str) -> dict[str, Any]:
    return next(row for sample, row in decoded if sample["case"] == case)


def test_every_sample_is_decoded_except_values_that_no_type_can_hold(decoded: Pairs) -> None:
    for sample, row in decoded:
        beginning = _REFUSED.get(sample["case"])
        assert row.get("reason") == (None if beginning is None else "bad_value"), (sample["case"], row)
        assert beginning is None or row["detail"].startswith(beginning)
    assert {sample["case"] for sample, _ in decoded} >= set(_REFUSED)


def test_every_sample_has_its_kind_and_position(decoded: Pairs) -> None:
    for sample, row in decoded:
        value = json.loads(sample["value"]) if sample["value"] else None
        assert "reason" in row or row["kind"] == ("tombstone" if value is None else _KINDS[value["op"]])
        assert value is None or row["lsn"] == value["source"]["lsn"]


def test_every_type_arrives(decoded: Pairs) -> None:
    row = _row(decoded, "insert, every type")
    assert (row["price_usd"], row["cost_usd"], row["stock"], row["weight_kg"]) == (Decimal("19.90"), Decimal("12.3456"), 7, 1.25)
    assert (row["is_active"], row["tags"], row["attributes"]) == (True, ("a", "b,c"), '{"n": 1, "colour": "red"}')
    assert (row["launched_on"], row["created_at"]) == ((date(2026, 2, 3) - date(1970, 1, 1)).days, 1_767_323_045_123_456)
    assert len(row["image_sha256"]) == 32


def test_unchanged_values_of_every_type_are_found(decoded: Pairs) -> None:
    row = _row(decoded, "update, large text, array, jsonb and bytea unchanged")
    assert row["unchanged"] == ("tags", "attributes", "image_sha256", "description")


def test_debezium_s_default_placeholder_is_a_user_s_text(decoded: Pairs) -> None:
    row = _row(decoded, "update, text equal to Debezium's default placeholder")
    assert row["description"] == "__debezium_unavailable_value"


def test_each_half_of_a_key_change_names_the_other_key(decoded: Pairs) -> None:
    halves = [row for sample, row in decoded if sample["case"].startswith("key change, both halves")]
    assert {row["linked_key"] for row in halves if row["kind"] == "upsert"} == {'{"product_id":11}'}
    assert {row["linked_key"] for row in halves if row["kind"] == "delete"} == {'{"product_id":13}'}


def test_a_delete_of_a_composite_key_carries_it_and_no_junk(decoded: Pairs) -> None:
    deletes = [row for sample, row in decoded if sample["case"] == "composite key, delete and tombstone" and row["kind"] == "delete"]
    assert [(row["order_id"], row["line_no"], row["updated_at"]) for row in deletes] == [(101, 1, None)]
