"""The live half on real processes: every event in exactly one place, through faults of its records and kills of its services."""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import AuthenticationError

from lakehouse.errors import EbapError
from lakehouse.live import maintenance, trino, validate
from lakehouse.transforms.live import windows
from tests.e2e.conftest import Platform, until
from tests.e2e.live_half import EVENTS, FAULTS, beside, client, event, received, send, stored, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_ENOUGH = 3000
# Beyond the numbers of the simulated shop.
_PERSON = 900_000_001


@pytest.fixture(scope="module")
def live(platform: Platform) -> Iterator[Platform]:
    """The session's platform with the live half beside it."""
    with beside(platform) as made:
        yield made


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Events of the test's own among the others: `person` has some, and a dead letter; one is of next century, and one came after it."""

    person: int
    ahead: dict[str, Any]
    after: dict[str, Any]


@pytest.fixture(scope="module")
def planted(live: Platform) -> Planted:
    """Sent before all others."""
    made = Planted(person=_PERSON, ahead=event(event_at="2099-01-01T00:00:00Z"), after=event(visitor_id="after that"))
    with live.postgres() as cursor:
        row = "(%s, 'forgotten@example.org', 'To be forgotten', 'EMEA', 'NL')"
        cursor.execute(f"INSERT INTO shop.users (user_id, email, full_name, region, country) VALUES {row}", [made.person])
    send(live.settings, made.ahead, made.after, *_of(made.person))
    return made


def _of(person: int) -> tuple[dict[str, Any], dict[str, Any]]:
    return event(user_id=person), event(user_id=person, event_type="odd")


@pytest.fixture(scope="module")
def sent(live: Platform, planted: Planted) -> Platform:
    """Some thousand events with every fault, a kill of each service while they were sent, and all of it stored."""
    live.run("generator", "ledger", "on")
    live.run("generator", "chaos", *(f"{fault}=0.05" for fault in FAULTS))
    live.run("generator", "resume")
    before = received(live.settings)
    for number, name in enumerate(("activity", "redis", "clicks", "s3"), start=1):
        wait_for(live, before + _ENOUGH * number // 5)
        live.kill(name)
    wait_for(live, before + _ENOUGH)
    live.run("generator", "pause")
    until(lambda: stored(live.settings) == received(live.settings), 300, "the final lane to store every event")
    return live


def test_every_record_is_in_exactly_one_place_and_the_ledger_agrees(sent: Platform) -> None:
    findings = list(validate.run(sent.settings, sent.settings.ledger))
    assert [finding.text for finding in findings if not finding.is_right] == []
    said = "\n".join(finding.text for finding in findings)
    print(f"\n{said}")
    assert all(name in said for name in FAULTS)


def test_late_events_are_in_files_of_their_own(sent: Platform) -> None:
    files = trino.query(sent.settings, 'SELECT file_path FROM "events$files"').rows
    kinds = trino.query(sent.settings, 'SELECT "$path", count(DISTINCT is_late) FROM events GROUP BY 1').rows
    assert len(files) == len(kinds) > 4
    assert {count for _, count in kinds} == {1}


def test_the_view_has_the_windows_of_the_stored_events(sent: Platform) -> None:
    rows = trino.query(
        sent.settings,
        "SELECT to_unixtime(date_trunc('minute', event_at)), count(DISTINCT visitor_id) FROM events "
        "WHERE NOT is_late AND event_at > current_timestamp - INTERVAL '8' MINUTE GROUP BY 1 ORDER BY 1",
    ).rows[1:]  # the first may be cut
    assert len(rows) >= 2

    wanted = [(int(start), visitors) for start, visitors in rows]

    def shown() -> list[tuple[int, int]]:
        with closing(client(sent.settings)) as redis:
            documents = [(start, redis.get(f"active_users:{start}")) for start, _ in wanted]
        return [(start, json.loads(text)["active_visitors"]) for start, text in documents if text]

    until(lambda: shown() == wanted, 60, f"the view to show {wanted}")


def test_every_order_has_one_purchase(sent: Platform) -> None:
    bought = trino.query(sent.settings, "SELECT order_id, checkout_id, user_id FROM events WHERE event_type = 'purchase'").rows
    oldest = min(order for order, _, _ in bought)
    with sent.postgres() as cursor:
        cursor.execute("SELECT order_id, checkout_id::text, user_id FROM shop.orders WHERE order_id >= %s", [oldest])
        placed = cursor.fetchall()
    # An account may be closed afterwards, and an order that was cancelled purged.
    made = {order: checkout for order, checkout, _ in bought}
    assert len(made) == len(bought)
    assert {order: made.get(order) for order, _, _ in placed} == {order: checkout for order, checkout, _ in placed}


def test_each_events_profile_is_the_users_history_at_its_instant(sent: Platform) -> None:
    asked = "SELECT user_id, event_at, user_region, user_tier, is_assumed FROM events WHERE user_id IS NOT NULL"
    events = trino.query(sent.settings, asked).rows
    history = _history(sent)
    wrong = [event for event in events if tuple(event[2:]) != _as_of(history.get(event[0], []), _instant(event[1]))]
    assert wrong == []
    assert {is_assumed for *_, is_assumed in events} == {True, False}
    assert None in {tier for _, _, _, tier, _ in events}, "no unknown user was among them"


def test_maintenance_merges_files_and_changes_no_row(sent: Platform) -> None:
    columns = "event_id, event_type, event_at, visitor_id, session_id, region, country, device, page, is_assumed, is_late, is_clamped"
    for number in range(3):
        row = f"'{uuid.uuid4()}', 'view', current_timestamp, 'maintained', '{number}', 'EMEA', 'DE', 'phone', '/', false, false, false"
        trino.query(sent.settings, f"INSERT INTO events ({columns}) VALUES ({row})")
    asked = "SELECT count(*), count(DISTINCT event_id), checksum(visitor_id), checksum(event_at) FROM events"
    before = trino.query(sent.settings, asked).rows
    made = maintenance.run(sent.settings, EVENTS, datetime.now(UTC))
    assert made.files_after <= made.files_before - 3
    assert made.has_expired
    assert trino.query(sent.settings, asked).rows == before
    assert stored(sent.settings) == received(sent.settings)


def test_an_event_of_next_century_is_clamped_and_stops_nothing(sent: Platform, planted: Planted) -> None:
    settings, ahead, after = sent.settings, planted.ahead, planted.after
    rows = trino.query(
        settings,
        f"SELECT is_clamped, is_late, event_at = kafka_at FROM events WHERE event_id IN ('{ahead['event_id']}', '{after['event_id']}')",
    ).rows
    assert sorted(rows) == [(False, False, False), (True, False, True)]
    start = windows.start_of(datetime.fromisoformat(after["event_at"]).timestamp())

    def shown() -> int:
        with closing(client(settings)) as redis:
            return int(json.loads(redis.get(f"active_users:{start}") or "{}").get("active_visitors", 0))

    assert shown() > 0


def test_a_forgotten_person_is_gone_from_rows_dead_letters_and_files_and_stays_so(
    sent: Platform, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, person = sent.settings, planted.person
    (before,) = trino.query(settings, "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM dead_letters)").rows
    of_person = f"SELECT (SELECT count(*) FROM events WHERE user_id = {person}), (SELECT count(*) FROM dead_letters WHERE {_named(person)})"
    assert min(trino.query(settings, of_person).rows[0]) > 0

    with sent.postgres() as cursor:
        cursor.execute("DELETE FROM shop.users WHERE user_id = %s", [person])
        # What is forgotten is not expected by the oracles of other tests.
        cursor.execute("DELETE FROM audit.changes WHERE table_name = 'users' AND key ->> 'user_id' = %s", [str(person)])
    said = sent.run("lakehouse", "forget", "users", str(person), limit_s=400)
    assert "The source has no such row." in said
    assert "iceberg.ebap.events and iceberg.ebap.dead_letters no longer name forgotten people" in said
    assert f"Kafka topic {EVENTS.topic} holds its present records until" in said
    assert trino.query(settings, of_person).rows == ((0, 0),)
    assert trino.query(settings, "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM dead_letters)").rows == (before,)

    send(settings, *_of(person))
    sent.run("lakehouse", "catch-up", "--live")
    assert trino.query(settings, of_person).rows == ((0, 0),)
    assert "of older versions hold 1 forgotten keys of users" in sent.run("lakehouse", "forget", "--verify", limit_s=400)
    # Instead of after a day.
    monkeypatch.setitem(trino._USER, "X-Trino-Session", "iceberg.expire_snapshots_min_retention=0s")
    for table in ("events", "dead_letters"):
        trino.query(settings, f"ALTER TABLE {table} EXECUTE expire_snapshots(retention_threshold => '0s')")
    said = sent.run("lakehouse", "forget", "--verify", limit_s=400)
    for table in ("events", "dead_letters"):
        assert re.search(rf"iceberg\.ebap\.{table}: [1-9]\d* files read, none holds a forgotten key of users", said), said
    assert not [finding.text for finding in validate.run(settings, settings.home_dir / "none") if not finding.is_right]


def test_a_wrong_password_and_a_wrong_query_are_refused_by_name(live: Platform) -> None:
    settings = live.settings
    with closing(client(settings, password="guess")) as redis, pytest.raises(AuthenticationError):
        redis.ping()
    with pytest.raises(EbapError, match="nowhere"):
        trino.query(settings, "SELECT * FROM nowhere")
    away = dataclasses.replace(settings, trino_port=1)
    with pytest.raises(EbapError, match="does not answer"):
        trino.query(away, "SELECT 1")


def _named(person: int) -> str:
    return f"from_utf8(value) LIKE '%\"user_id\": {person},%'"


def _history(live: Platform) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for user, *version in live.sql(
        "SELECT user_id, _valid_from, _valid_to, region, tier FROM silver.users_history ORDER BY user_id, _valid_from"
    ):
        found.setdefault(user, []).append(tuple(version))
    return found


def _as_of(versions: list[tuple[Any, ...]], at: datetime) -> tuple[Any, ...]:
    if not versions:
        return (None, None, False)
    begun = [_instant(start) for start, *_ in versions]
    _, ends, region, tier = versions[max(bisect_right(begun, at) - 1, 0)]
    is_valid = begun[0] <= at and (ends is None or at < _instant(ends))
    return (region, tier, not is_valid)


def _instant(text: Any) -> datetime:
    moment = text if isinstance(text, datetime) else datetime.fromisoformat(str(text).removesuffix(" UTC"))
    return moment.replace(tzinfo=UTC)
