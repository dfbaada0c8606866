"""Each fault has its wire form, its rate and its line in the ledger; telemetry adds up."""

import json
import uuid
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from generator.clicks.chaos import FAULTS, parse
from generator.clicks.events import microseconds
from generator.clicks.ledger import Ledger
from generator.clicks.malformed import KINDS
from generator.clicks.records import DEAD_LETTER, EVENT, REPEAT, Record
from generator.clicks.telemetry import BUCKETS, SERVICES
from generator.clicks.traffic import Batch, Traffic
from generator.pools import REGIONS
from tests.refusals import refused
from tests.unit.clicks import LIMIT, SECOND_US, START, START_US, Place, after, journeys, purchase, traffic

REASONS = {"empty", "not_utf8", "not_json", "wrong_shape", "bad_value", "unknown_type", "too_large"}


def seconds(made: Traffic, count: int, eps: int = 200, since: int = 0) -> list[Batch]:
    """Batches of that many seconds; Kafka has each record at once."""
    batches = []
    for second in range(since, since + count):
        batches.append(made.take(eps, START_US + second * SECOND_US, START_US + (second + 1) * SECOND_US))
        for record in batches[-1].records:
            made.chaos.acknowledged(record)
    return batches


def records(batches: list[Batch]) -> list[Record]:
    return [record for batch in batches for record in batch.records]


def content(record: Record) -> dict[str, Any]:
    assert record.value is not None
    return json.loads(record.value)


def faulty(fault: str, count: int = 60) -> list[Record]:
    sent = records(seconds(traffic(**{fault: 0.1}), count))
    chosen = [record for record in sent if record.fault == fault]
    assert len(chosen) / len(sent) == pytest.approx(0.1, abs=0.015)
    return chosen


def test_without_faults_every_record_is_an_event() -> None:
    sent = records(seconds(traffic(), 5))
    assert len(sent) == 1000
    assert {(record.fault, record.becomes, record.reason) for record in sent} == {(None, EVENT, None)}
    assert all(record.event_id == content(record)["event_id"] for record in sent)
    assert {record.key.decode() for record in sent} == {content(record)["visitor_id"] for record in sent}


def test_a_late_event_is_of_seconds_to_hours_ago() -> None:
    sent = seconds(traffic(late=0.1), 60)
    ages = [START_US + (number + 1) * SECOND_US - r.at_us for number, batch in enumerate(sent) for r in batch.records if r.fault == "late"]
    assert 2 * SECOND_US <= min(ages) < 30 * SECOND_US
    assert 3600 * SECOND_US < max(ages) <= 6.1 * 3600 * SECOND_US


def test_a_future_event_is_minutes_or_a_year_ahead() -> None:
    ahead = [record.at_us - START_US for record in faulty("future")]
    assert any(60 * SECOND_US <= us < 32 * 60 * SECOND_US for us in ahead)
    assert any(us >= 365 * 86400 * SECOND_US for us in ahead)


def test_the_record_states_the_instant_that_the_ledger_has() -> None:
    for record in faulty("late")[:20] + faulty("future")[:20]:
        assert microseconds(datetime.fromisoformat(content(record)["event_at"])) == record.at_us


def test_a_duplicate_is_a_record_that_kafka_has_again_soon_or_long_after() -> None:
    made = traffic(duplicate=0.2)
    batches = seconds(made, 30) + seconds(made, 30, since=7200)
    seen: dict[str, tuple[bytes, bytes | None]] = {}
    ages = []
    for number, batch in enumerate(batches):
        for record in batch.records:
            if record.fault == "duplicate":
                assert (record.becomes, record.key, record.value) == (REPEAT, *seen[record.event_id])
                ages.append((number if number < 30 else number + 7170) - (record.at_us - START_US) // SECOND_US)
            else:
                assert record.event_id not in seen
                seen[record.event_id] = record.key, record.value
    assert len(ages) / len(records(batches)) == pytest.approx(0.2, abs=0.02)
    assert min(ages) <= 2
    assert max(ages) > 7000


def test_an_event_out_of_order_is_sent_after_later_ones() -> None:
    delays = [
        number - (record.at_us - START_US) // SECOND_US
        for number, batch in enumerate(seconds(traffic(out_of_order=0.1), 60))
        for record in batch.records
        if record.fault == "out_of_order"
    ]
    assert len(delays) == pytest.approx(1200, rel=0.15)
    assert min(delays) >= 1 and max(delays) <= 6


def test_an_unknown_user_is_kept_as_an_event() -> None:
    for record in faulty("unknown_user"):
        assert record.becomes == EVENT
        assert content(record)["user_id"] > 1_000_000_000_000


def test_malformed_records_are_of_ten_kinds_and_of_every_reason() -> None:
    assert len(KINDS) == 10
    chosen = faulty("malformed", 120)
    assert {record.reason for record in chosen} == REASONS
    assert {record.becomes for record in chosen} == {DEAD_LETTER}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_malformed_record_is_what_its_reason_states(kind: Any) -> None:
    for event in journeys().take(50, START_US, START_US + SECOND_US):
        assert reason_of(kind.value(event, LIMIT)) == kind.reason


def reason_of(value: bytes | None) -> str | None:
    """A reading of the wire format of its own."""
    if not value:
        return "empty"
    if len(value) > LIMIT:
        return "too_large"
    try:
        found = json.loads(value.decode())
    except UnicodeDecodeError:
        return "not_utf8"
    except ValueError:
        return "not_json"
    if not isinstance(found, dict) or len(found) != 13:
        return "wrong_shape"
    try:
        uuid.UUID(found["event_id"])
        datetime.fromisoformat(found["event_at"])
    except ValueError:
        return "bad_value"
    return None if found["event_type"] in ("view", "search", "product", "cart", "checkout", "leave") else "unknown_type"


def test_a_regions_outage_stops_its_events_and_fails_its_requests_for_a_while() -> None:
    made = traffic(region_outage=0.5)
    before, outage, later = seconds(made, 5), seconds(made, 19, since=5), seconds(made, 19, since=26)
    gone = set(REGIONS) - {content(record)["region"] for record in records(outage[1:])}
    assert len(gone) == 1
    for batches in (before, later):
        assert {content(record)["region"] for record in records(batches)} == set(REGIONS)
    measured = [content(record) for batch in outage[2:] for record in batch.telemetry]
    errors = {region: sum(one["errors"] for one in measured if one["region"] == region) for region in REGIONS}
    requests = {region: sum(one["requests"] for one in measured if one["region"] == region) for region in REGIONS}
    for region in REGIONS:
        assert requests[region] > 100
        assert errors[region] == requests[region] if region in gone else errors[region] < 0.05 * requests[region]


def test_purchases_are_never_lost_nor_changed_by_any_fault() -> None:
    made = traffic(late=0.2, duplicate=0.1, out_of_order=0.2, future=0.2, malformed=0.2, unknown_user=0.1, region_outage=0.5)
    for number in range(1, 201):
        made.buy(purchase(number, after(number / 10), user_id=number % 100 + 1))
    sent = records(seconds(made, 60))
    bought = [record for record in sent if record.becomes == EVENT and record.fault != "malformed" and content(record)["order_id"]]
    assert sorted(content(record)["order_id"] for record in bought) == list(range(1, 201))
    assert {record.fault for record in bought} == {None, "out_of_order", "region_outage"}
    for record in bought:
        assert datetime.fromisoformat(content(record)["event_at"]) == START + timedelta(seconds=content(record)["order_id"] / 10)


def test_what_is_held_is_released_when_faults_end() -> None:
    made = traffic(out_of_order=0.9)
    sent = records(seconds(made, 1))
    made.chaos.set({})
    assert len(sent) + len(records(seconds(made, 1, since=1))) == 400


def test_telemetry_is_a_record_a_service_region_and_second_that_adds_up() -> None:
    made = traffic(late=0.1)
    made.buy(purchase(1, after(2)))
    batches = seconds(made, 11)
    measured = [content(record) for batch in batches for record in batch.telemetry]
    assert Counter((one["service"], one["region"]) for one in measured) == {(s, r): 10 for s in SERVICES for r in REGIONS}
    assert len({one["measured_at"] for one in measured}) == 10
    for one in measured:
        assert sum(one[bucket] for bucket in BUCKETS) == one["requests"] >= one["errors"]
        assert one["measured_at"].endswith(".000000Z")
    assert sum(one["requests"] for one in measured) == sum(batch.paid for batch in batches[:-1])


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        (["late=2"], "late=0.05"),
        (["late"], "late=0.05"),
        (["lag=0.1"], "there are late"),
        (["late=0.8", "future=0.8"], "at most one fault"),
    ],
)
def test_an_invalid_fault_is_refused_with_the_cure(given: list[str], cure: str) -> None:
    with refused(cure=cure):
        parse(given)


def test_faults_are_parsed_by_name() -> None:
    assert parse(["late=0.05", "region_outage=0"]) == {"late": 0.05, "region_outage": 0.0}
    assert set(parse(f"{name}=0.05" for name in FAULTS)) == set(FAULTS)


def test_the_ledger_has_a_line_for_what_is_sent_and_for_each_record_kafka_has(tmp_path: Path) -> None:
    sent = records(seconds(traffic(future=0.5), 1))
    ledger = Ledger(tmp_path / "data" / "ledger.jsonl")
    ledger.sending(sent)
    ledger.acknowledged([(record, Place(record.topic, 2, n, START_US // 1000 + 1000)) for n, record in enumerate(sent[:-10])])
    lines = [json.loads(line) for line in (tmp_path / "data" / "ledger.jsonl").open()]  # before it is closed, as after a kill
    assert lines[0]["sending"] == [record.event_id for record in sent]
    assert len(lines) == 1 + len(sent) - 10
    for offset, (line, record) in enumerate(zip(lines[1:], sent, strict=False)):
        assert (line["topic"], line["partition"], line["offset"]) == ("ebap.events.raw", 2, offset)
        assert (line["event_id"], line["fault"], line["becomes"], line["reason"]) == (record.event_id, record.fault, EVENT, None)
        assert line["event_at"] == content(record)["event_at"]
        assert line["is_clamped"] == (record.fault == "future")
