"""Records of a real Debezium 3.7, each read as what the shop did to make it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.transforms import envelope
from tests.unit import wire

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

_SAMPLES = [json.loads(line) for line in (Path(__file__).parent / "envelope_samples.jsonl").read_text().splitlines()]
_KINDS = {"r": "read", "c": "upsert", "u": "upsert", "d": "delete", "t": "truncate"}

# A case that cannot be kept, and how its detail begins, in the order of the declaration.
_REFUSED = {
    "numeric NaN": "price_usd: 'NAN' is not a DECIMAL(10,2)",
    "timestamp and date infinity": "launched_on: '+5877611-06-21Z' is not a DATE; created_at: 'infinity' is not a TIMESTAMP; updated_at: '",
    "timestamp and date BC": "launched_on: '-0043-03-15Z' is not a DATE; created_at: '-4712-01-01T00:00:00.000000Z' is not a TIMESTAMP",
    "timestamp and date beyond year 9999": "launched_on: '+21016-11-04Z' is not a DATE; created_at: '+21016-11-04T00:00:00.000000Z'",
    "numbers at their limits": "launched_on: '+21016-11-04Z' is not a DATE",  # the row of the case before, updated
}


@pytest.fixture(scope="module")
def decoded(spark: SparkSession) -> list[tuple[dict[str, Any], Row]]:
    """Each sample of a declared table with its decoded row."""
    pairs = []
    for table in tables.SOURCES:
        samples = [sample for sample in _SAMPLES if sample["topic"] == f"ebap.cdc.{table.name}"]
        frame = envelope.decode(
            wire.bronze(spark, [_received(sample, table.name) for sample in samples]), table, [wire.PLACEHOLDER], "shop"
        )
        # As texts: Python's datetime fails at the first day of the year 1, which a sample holds.
        times = {column.name: F.col(column.name).cast("string") for column in table.columns if column.type == "TIMESTAMP"}
        rows = sorted(frame.withColumns(times).collect(), key=lambda row: row["_offset"])
        pairs += list(zip(samples, rows, strict=True))
    return pairs


def _received(sample: dict[str, Any], table: str) -> wire.Received:
    key, value = (None if sample[part] is None else sample[part].encode() for part in ("key", "value"))
    return wire.Received(value, key=key, headers=tuple((name, text) for name, text in sample["headers"]), table=table)


def _row(decoded: list[tuple[dict[str, Any], Row]], case: str) -> Row:
    return next(row for sample, row in decoded if sample["case"] == case)


def test_every_sample_is_read_but_those_that_no_type_can_hold(decoded: list[tuple[dict[str, Any], Row]]) -> None:
    for sample, row in decoded:
        beginning = _REFUSED.get(sample["case"])
        assert row["_reason"] == (None if beginning is None else "bad_value"), (sample["case"], row["_detail"])
        assert beginning is None or row["_detail"].startswith(beginning)
    assert {sample["case"] for sample, _ in decoded} >= set(_REFUSED)


def test_every_sample_has_its_kind_and_position(decoded: list[tuple[dict[str, Any], Row]]) -> None:
    for sample, row in decoded:
        value = json.loads(sample["value"]) if sample["value"] else None
        assert row["_kind"] == ("tombstone" if value is None else _KINDS[value["op"]])
        assert value is None or row["_lsn"] == value["source"]["lsn"]


def test_every_type_arrives(decoded: list[tuple[dict[str, Any], Row]]) -> None:
    row = _row(decoded, "insert, every type")
    assert (row["price_usd"], row["cost_usd"], row["stock"], row["weight_kg"]) == (Decimal("19.90"), Decimal("12.3456"), 7, 1.25)
    assert (row["is_active"], row["tags"], row["attributes"]) == (True, ["a", "b,c"], '{"n": 1, "colour": "red"}')
    assert (row["launched_on"], row["created_at"]) == (date(2026, 2, 3), "2026-01-02 03:04:05.123456")
    assert len(row["image_sha256"]) == 32


def test_unchanged_values_of_every_type_are_found(decoded: list[tuple[dict[str, Any], Row]]) -> None:
    row = _row(decoded, "update, large text, array, jsonb and bytea unchanged")
    assert row["_unchanged"] == ["tags", "attributes", "image_sha256", "description"]


def test_debezium_s_default_placeholder_is_a_user_s_text(decoded: list[tuple[dict[str, Any], Row]]) -> None:
    row = _row(decoded, "update, text equal to Debezium's default placeholder")
    assert row["description"] == "__debezium_unavailable_value"


def test_each_half_of_a_key_change_tells_the_other_key(decoded: list[tuple[dict[str, Any], Row]]) -> None:
    halves = [row for sample, row in decoded if sample["case"].startswith("key change, both halves")]
    assert {row["_linked_key"] for row in halves if row["_kind"] == "upsert"} == {'{"product_id":11}'}
    assert {row["_linked_key"] for row in halves if row["_kind"] == "delete"} == {'{"product_id":13}'}


def test_a_delete_of_a_composite_key_carries_it_and_no_junk(decoded: list[tuple[dict[str, Any], Row]]) -> None:
    row = next(row for sample, row in decoded if sample["case"] == "composite key, delete and tombstone" and row["_kind"] == "delete")
    assert (row["order_id"], row["line_no"], row["updated_at"]) == (101, 1, None)
