"""Records of the event topics: rows, or dead letters with the reason, by the record alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import tables
from lakehouse.live import erasure, repeats
from lakehouse.tables import dead_letters
from lakehouse.transforms.live import records

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

EVENTS, TELEMETRY = tables.live("events"), tables.live("telemetry")
RECEIVED = datetime(2026, 11, 28, 8, 0, 5, tzinfo=UTC)
MAX_BYTES = 65_536
EVENT: dict[str, Any] = {
    "event_id": "6f2c7a52-0f0b-4a6f-9a0b-0123456789ab",
    "event_type": "view",
    "event_at": "2026-11-28T08:00:00.123456Z",
    "visitor_id": "v1",
    "user_id": None,
    "session_id": "s1",
    "product_id": 7,
    "order_id": None,
    "checkout_id": None,
    "region": "EMEA",
    "country": "DE",
    "device": "phone",
    "page": "/p/7",
}
SECOND: dict[str, Any] = {
    "service": "web",
    "region": "EMEA",
    "measured_at": "2026-11-28T08:00:00Z",
    "requests": 2,
    "errors": 1,
    **dict.fromkeys(("le_10_ms", "le_25_ms", "le_50_ms", "le_100_ms", "le_250_ms", "le_500_ms", "le_1000_ms"), 0),
    "over_1000_ms": 2,
}


def bytes_of(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in EVENT.items() if key != name}).encode()


FAULTS: dict[str, tuple[bytes | None, str, str | None]] = {
    "no value": (None, "empty", None),
    "no bytes": (b"", "empty", None),
    "other bytes": (b"\xff\xfe\x00", "not_utf8", None),
    "cut": (bytes_of()[:-10], "not_json", None),
    "single quotes": (b"{'event_id': 1}", "not_json", None),
    "a key twice": (b'{"event_id": "a", "event_id": "b"}', "not_json", None),
    "a list": (b"[" + bytes_of() + b"]", "wrong_shape", "event_id is missing"),
    "a text": (b'"click"', "wrong_shape", "event_id is missing"),
    "no region": (without("region"), "wrong_shape", "region is missing"),
    "region is null": (bytes_of(region=None), "wrong_shape", "region is missing"),
    "another type": (bytes_of(event_type="jump"), "unknown_type", "event_type is not declared"),
    "no UUID": (bytes_of(event_id="42"), "bad_value", "event_id is not a UUID"),
    "a date": (bytes_of(event_at="2026-11-28"), "bad_value", "event_at is not a TIMESTAMP"),
    "no zone": (bytes_of(event_at="2026-11-28T08:00:00"), "bad_value", "event_at is not a TIMESTAMP"),
    "30 February": (bytes_of(event_at="2026-02-30T08:00:00Z"), "bad_value", "event_at is not a TIMESTAMP"),
    "another region": (bytes_of(region="MOON"), "bad_value", "region is not a known region"),
    "another age": (bytes_of(event_at="0001-01-01T00:00:00Z"), "bad_value", "event_at is not a TIMESTAMP"),
    "a word": (bytes_of(user_id="anna"), "bad_value", "user_id is not a BIGINT"),
    "a fraction": (bytes_of(user_id=1.5), "bad_value", "user_id is not a BIGINT"),
    "too many digits": (bytes_of(user_id=10**19), "bad_value", "user_id is not a BIGINT"),
    "an object": (bytes_of(product_id={"id": 1}), "bad_value", "product_id is not a BIGINT"),
    "large": (bytes_of(page="x" * MAX_BYTES), "too_large", None),
}


def read(spark: SparkSession, values: list[tuple[str, bytes | None]], received: datetime = RECEIVED) -> Any:
    rows = [(topic, 0, offset, received, b"v1", value) for offset, (topic, value) in enumerate(values)]
    frame = spark.createDataFrame(rows, "topic STRING, partition INT, offset BIGINT, timestamp TIMESTAMP, key BINARY, value BINARY")
    return records.read(frame, (EVENTS, TELEMETRY), MAX_BYTES).persist()


def test_every_fault_is_a_dead_letter_with_its_reason_and_its_bytes_and_no_neighbour_is(spark: SparkSession) -> None:
    values = [(str(EVENTS.topic), value) for value, _, _ in FAULTS.values()] + [(str(EVENTS.topic), bytes_of())]
    found = read(spark, values)
    dead = {row.kafka_offset: row for row in records.dead(found).collect()}
    said = {name: (dead[number].reason, dead[number].detail) for number, name in enumerate(FAULTS)}
    assert said == {name: (reason, detail) for name, (_, reason, detail) in FAULTS.items()}
    assert [dead[number].value for number in range(len(FAULTS))] == [value for value, _, _ in FAULTS.values()]
    assert {reason for reason, _ in said.values()} == set(dead_letters.REASONS)
    (kept,) = records.rows(found, EVENTS).collect()
    assert kept.kafka_offset == len(FAULTS)


def test_a_record_of_one_topic_is_no_row_of_the_other(spark: SparkSession) -> None:
    found = read(spark, [(str(TELEMETRY.topic), bytes_of()), (str(TELEMETRY.topic), json.dumps(SECOND).encode())])
    assert records.rows(found, EVENTS).count() == 0
    (second,) = records.rows(found, TELEMETRY).collect()
    assert (second.requests, second.errors, second.over_1000_ms, second.is_late) == (2, 1, 2, False)
    assert [row.reason for row in records.dead(found).collect()] == ["wrong_shape"]


@pytest.mark.parametrize("count", [-1, 10**9, 1.5])
def test_a_count_that_no_sum_could_hold_is_a_dead_letter(spark: SparkSession, count: float) -> None:
    found = read(spark, [(str(TELEMETRY.topic), json.dumps({**SECOND, "le_10_ms": count}).encode())])
    assert [(row.reason, row.detail) for row in records.dead(found).collect()] == [("bad_value", "le_10_ms is not a count")]


@pytest.mark.parametrize(
    ("event_at", "stored_at", "is_clamped"),
    [
        ("2026-11-28T08:00:05Z", RECEIVED, False),
        ("2026-11-28T08:00:05.000001Z", RECEIVED, True),
        ("2027-11-28T08:00:00Z", RECEIVED, True),
        ("2026-11-28T09:00:04+01:00", RECEIVED - timedelta(seconds=1), False),
    ],
)
def test_an_instant_after_kafkas_is_replaced_by_it(spark: SparkSession, event_at: str, stored_at: datetime, is_clamped: bool) -> None:
    row = _one(spark, event_at, RECEIVED)
    assert (row.event_at.astimezone(UTC), row.is_clamped) == (stored_at, is_clamped)


@pytest.mark.parametrize(("waited_s", "is_late"), [(0, False), (659.999, False), (660, True), (86_400, True)])
def test_an_event_is_late_ten_minutes_after_the_end_of_its_window(spark: SparkSession, waited_s: float, is_late: bool) -> None:
    start = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
    assert _one(spark, start.isoformat(), start + timedelta(seconds=waited_s)).is_late == is_late


def _one(spark: SparkSession, event_at: str, received: datetime) -> Row:
    (row,) = records.rows(read(spark, [(str(EVENTS.topic), bytes_of(event_at=event_at))], received), EVENTS).collect()
    return row


def test_forgotten_people_are_erased_from_rows_and_dead_letters_and_nobody_else_is(spark: SparkSession) -> None:
    values: list[tuple[str, bytes | None]] = [("ebap.events.raw", bytes_of(user_id=number)) for number in (42, 421, None)]
    values += [("ebap.events.raw", bytes_of(user_id=number, event_type="odd")) for number in (42, 421)]
    found = read(spark, values)
    events = erasure.blanked(records.rows(found, EVENTS), EVENTS, (42, 7)).orderBy("kafka_offset").collect()
    assert [(row.user_id, row.visitor_id, row.session_id, row.page) for row in events] == [
        (None, None, None, "/p/7"),
        (421, "v1", "s1", "/p/7"),
        (None, "v1", "s1", "/p/7"),
    ]
    dead = erasure.blanked(records.dead(found), dead_letters.TABLE, (42, 7)).orderBy("kafka_offset").collect()
    assert [(row.reason, row.value) for row in dead] == [("unknown_type", None), ("unknown_type", values[4][1])]


@pytest.mark.parametrize(
    ("minutes", "ranges"),
    [
        ([], "false"),
        (
            [5, 6, 9],
            "(event_at >= timestamp_micros(300000000) AND event_at < timestamp_micros(420000000))"
            " OR (event_at >= timestamp_micros(540000000) AND event_at < timestamp_micros(600000000))",
        ),
    ],
)
def test_neighbouring_minutes_are_one_range(minutes: list[int], ranges: str) -> None:
    assert repeats.within(minutes) == ranges


def test_many_ranges_become_hours() -> None:
    assert repeats.within(list(range(0, 60 * 200, 20))).count(" OR ") == 0
