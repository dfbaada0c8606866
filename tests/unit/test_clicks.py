"""Clicks have the wire format, are reproducible by seed, and are journeys that begin and end."""

import gzip
import json
import random
import re
import uuid
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from generator.clicks import past
from generator.clicks.chains import CHAINS
from generator.clicks.events import Event, microseconds, wire
from generator.clicks.journeys import purchase_id
from generator.clicks.visitors import Visitors
from generator.personas import GUEST, PERSONAS
from generator.pools import REGIONS
from lakehouse import tables
from tests.unit.clicks import ACCOUNTS, PRODUCTS, SECOND_US, START, START_US, after, journeys, purchase

TYPES: dict[str, tuple[type, ...]] = {
    "event_id": (str,),
    "event_type": (str,),
    "event_at": (str,),
    "visitor_id": (str,),
    "user_id": (int, type(None)),
    "session_id": (str,),
    "product_id": (int, type(None)),
    "order_id": (int, type(None)),
    "checkout_id": (str, type(None)),
    "region": (str,),
    "country": (str,),
    "device": (str,),
    "page": (str,),
}


def minutes(count: int, eps: int = 100, seed: int = 1) -> list[Event]:
    made = journeys(seed)
    return [
        event
        for second in range(count * 60)
        for event in made.take(eps, START_US + second * SECOND_US, START_US + (second + 1) * SECOND_US)
    ]


def decoded(events: list[Event]) -> list[dict[str, Any]]:
    return [json.loads(wire(event)) for event in events]


def by_session(events: list[Event]) -> dict[str, list[Event]]:
    sessions = defaultdict(list)
    for event in events:
        sessions[event.visit.session_id].append(event)
    return sessions


def test_every_event_has_every_key_with_its_type() -> None:
    for event in decoded(minutes(1) + journeys().buying(purchase(5)) + journeys().buying(purchase(6, user_id=None))):
        assert list(event) == list(TYPES)
        for name, types in TYPES.items():
            assert isinstance(event[name], types), (name, event)
        assert uuid.UUID(event["event_id"]) and uuid.UUID(event["session_id"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["event_at"])
        assert event["event_type"] in tables.live("events").column("event_type").choices
        assert event["country"] in REGIONS[event["region"]]
        assert (event["product_id"] is not None) == (event["event_type"] in ("product", "cart"))
        assert (event["order_id"] is not None) == (event["event_type"] == "purchase")
        assert (event["checkout_id"] is not None) == (event["event_type"] in ("checkout", "purchase"))


def test_the_instant_of_the_record_is_the_events() -> None:
    event = minutes(1)[17]
    assert microseconds(datetime.fromisoformat(json.loads(wire(event))["event_at"])) == event.at_us


def test_the_same_seed_gives_the_same_events_and_another_stream_others() -> None:
    assert minutes(1) != minutes(1, seed=2)
    assert [wire(event) for event in minutes(1)] == [wire(event) for event in minutes(1)]
    some, others = (journeys(stream=stream).take(50, START_US, START_US + SECOND_US) for stream in ("a", "b"))
    assert not {event.event_id for event in some} & {event.event_id for event in others}


def test_exactly_as_many_events_as_are_due_are_taken_in_the_order_of_their_time() -> None:
    made = journeys()
    for count in (0, 1, 7, 500):
        events = made.take(count, START_US, START_US + SECOND_US)
        assert len(events) == count
        assert all(before.at_us <= later.at_us for before, later in pairwise(events))
        assert all(START_US <= event.at_us < START_US + SECOND_US for event in events)


def test_a_visit_begins_with_a_view_and_ends_with_its_only_leave() -> None:
    events = minutes(20)
    sessions = by_session(events)
    ended = [visit for visit in sessions.values() if visit[-1].event_type == "leave"]
    assert len(ended) > 0.9 * len(sessions)
    for visit in sessions.values():
        types = [event.event_type for event in visit]
        assert types[0] == "view"
        assert "leave" not in types[:-1]
        assert "purchase" not in types, "visits that fill up buy nothing"
        assert len({event.visit for event in visit}) == 1
        steps = CHAINS[visit[0].visit.visitor.persona]
        assert all(after in steps[before] or after == "leave" for before, after in pairwise(types))


def test_the_gaps_are_those_of_people() -> None:
    gaps = [(later.at_us - before.at_us) / 1e6 for visit in by_session(minutes(20)[60_000:]).values() for before, later in pairwise(visit)]
    gaps.sort()
    assert 5 < gaps[len(gaps) // 2] < 25
    assert gaps[len(gaps) // 100] > 0.5


def test_visitors_come_back_and_are_guests_or_users_of_every_region_and_persona() -> None:
    events = minutes(10)
    assert {event.visit.visitor.region for event in events} == set(REGIONS)
    assert {event.visit.visitor.persona for event in events} == {GUEST.name, *(persona.name for persona in PERSONAS)}
    guests = sum(event.visit.visitor.user_id is None for event in events) / len(events)
    assert 0.2 < guests < 0.6
    sessions = Counter(visit[0].visit.visitor.visitor_id for visit in by_session(events).values())
    assert max(sessions.values()) > 1


def test_more_of_a_regions_people_visit_in_its_evening_than_in_its_night() -> None:
    visitors = Visitors(1, ACCOUNTS, PRODUCTS)

    rng = random.Random(1)
    share = {}
    for hour in (11, 18):  # 20:00 and 03:00 in Tokyo
        at_us = microseconds(START.replace(hour=hour))
        share[hour] = sum(visitors.some(rng, at_us).visitor.region == "APAC" for _ in range(2000))
    assert share[11] > 3 * share[18]


def test_after_a_reduction_of_the_rate_visits_that_are_overdue_end() -> None:
    made = journeys()
    for second in range(60):
        made.take(1000, START_US + second * SECOND_US, START_US + (second + 1) * SECOND_US)
    slow = [
        event for second in range(60, 400) for event in made.take(20, START_US + second * SECOND_US, START_US + (second + 1) * SECOND_US)
    ]
    assert Counter(event.event_type for event in slow[-2000:])["leave"] > 1500


def test_the_visit_of_a_purchase_is_always_the_same_and_joined_to_its_order() -> None:
    order = purchase(41, after(0.123456))
    events = journeys().buying(order)
    assert [wire(event) for event in journeys(stream="later").buying(order)] == [wire(event) for event in events]
    assert len({event.event_id for event in events}) == len(events)
    assert [event.event_type for event in events][-3:] == ["checkout", "purchase", "leave"]
    bought = decoded([event for event in events if event.event_type == "purchase"])
    assert [(event["order_id"], event["checkout_id"], event["user_id"], event["event_id"]) for event in bought] == [
        (41, order.checkout_id, 7, purchase_id(order))
    ]
    assert datetime.fromisoformat(bought[0]["event_at"]) == order.ordered_at
    assert {event.product_id for event in events if event.event_type == "cart"} == set(order.products)
    assert all(before.at_us <= later.at_us for before, later in pairwise(events))
    assert purchase_id(order) != purchase_id(purchase(42, after(0.123456)))


def test_past_visits_are_a_file_a_day_with_each_order_once(tmp_path: Path) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    orders = [purchase(number, start + timedelta(minutes=23 * number)) for number in range(1, 171)]
    until = start + timedelta(days=2, hours=20)
    written = past.write(tmp_path, 1, Visitors(1, ACCOUNTS, PRODUCTS), orders, start, until, 150)
    assert [path.name for path in written[-3:]] == ["2026-03-01.jsonl.gz", "2026-03-02.jsonl.gz", "2026-03-03.jsonl.gz"]
    lines = {path.name[:10]: [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()] for path in written}
    for day, events in lines.items():
        assert [event["event_at"] for event in events] == sorted(event["event_at"] for event in events)
        assert {event["event_at"][:10] for event in events} <= {day}
    everything = [event for events in lines.values() for event in events]
    assert sorted(event["order_id"] for event in everything if event["order_id"]) == [order.order_id for order in orders]
    assert len({event["event_id"] for event in everything}) == len(everything)
    assert max(event["event_at"] for event in everything) <= until.strftime("%Y-%m-%dT%H:%M:%S")
    assert 100 < len({event["session_id"] for event in lines["2026-03-02"]}) - 62 < 200
    assert not list(tmp_path.glob("*.draft"))


def test_past_days_that_are_written_stay_and_missing_ones_are_the_same_again(tmp_path: Path) -> None:
    def written() -> list[Path]:
        return past.write(tmp_path, 1, Visitors(1, ACCOUNTS, PRODUCTS), [], after(-36 * 3600).replace(hour=0), START, 20)

    first = {path: path.read_bytes() for path in written()}
    assert len(first) == 2
    lost = next(iter(first))
    lost.unlink()
    assert written() == [lost]
    assert lost.read_bytes() == first[lost]
