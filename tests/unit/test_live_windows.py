"""Windows of activity: values, finality, and what repeats and late records change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lakehouse.transforms.live import windows
from lakehouse.transforms.live.windows import ALL, BUCKETS, Running

START = 1_790_000_040  # the start of a minute
NOTHING = (0,) * len(BUCKETS)


def counts(requests: int, errors: int = 0, **buckets: int) -> windows.Counts:
    return (requests, errors, *(buckets.get(name, 0) for name in BUCKETS))


def add(running: Running, at_s: float, region: str, visitor: str, event_id: str = "", *, is_clamped: bool = False) -> None:
    running.add_event(at_s, region, visitor, event_id or f"{visitor} at {at_s}", is_clamped=is_clamped)


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({}, None),
        ({"le_10_ms": 100}, 9.5),  # rank 95 of 100 in (0, 10]
        ({"le_10_ms": 95, "le_100_ms": 5}, 10.0),  # the last of the first bucket
        ({"le_10_ms": 90, "le_100_ms": 10}, 75.0),  # the fifth of ten in (50, 100]
        ({"over_1000_ms": 4}, 1000.0),  # without an upper bound: the lower one
        ({"le_1000_ms": 1}, 500.0 + 500.0 * 0.95),
    ],
)
def test_the_percentile_is_interpolated_within_its_bucket(buckets, expected):
    assert windows.p95(counts(0, **buckets)[2:]) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("frontier_s", "expected"),
    [(START + 660, START + 60), (START + 659.9, START), (START + 719, START + 60), (START + 720, START + 120)],
)
def test_a_window_is_final_ten_minutes_after_its_end(frontier_s, expected):
    assert windows.final_before(frontier_s) == expected


def test_visitors_are_counted_once_in_a_region_and_once_in_all():
    running = Running(START)
    for region, visitor in (("EMEA", "a"), ("EMEA", "a"), ("EMEA", "b"), ("APAC", "a")):
        add(running, START + 59.999, region, visitor)
    values = running.take_changed()[START]
    assert {region: found.active_visitors for region, found in values.items()} == {"EMEA": 2, "APAC": 1, ALL: 2}


def test_a_repeat_changes_nothing_and_is_not_a_change():
    running = Running(START)
    add(running, START, "EMEA", "a")
    running.add_telemetry(START, "web", "EMEA", counts(3, 1, le_10_ms=3))
    assert running.take_changed()[START]["EMEA"].requests == 3
    add(running, START, "EMEA", "a")
    running.add_telemetry(START, "web", "EMEA", counts(3, 1, le_10_ms=3))
    assert running.take_changed() == {}


def test_a_repeat_of_a_clamped_event_counts_in_no_other_window():
    running = Running(START)
    add(running, START, "EMEA", "a", "one", is_clamped=True)
    add(running, START + 60, "EMEA", "a", "one", is_clamped=True)
    add(running, START + 120, "EMEA", "a", "one")
    assert list(running.take_changed()) == [START]
    add(running, START + 60, "EMEA", "a", "two")
    assert list(running.take_changed()) == [START + 60]


def test_health_is_the_sum_of_services_and_seconds():
    running = Running(START)
    for second, service in ((0, "web"), (59, "web"), (0, "search")):
        running.add_telemetry(START + second, service, "EMEA", counts(10, 1, le_10_ms=10))
    running.add_telemetry(START + 60, "web", "EMEA", counts(7))
    values = running.take_changed()
    assert (values[START]["EMEA"].requests, values[START]["EMEA"].errors, values[START]["EMEA"].error_rate) == (30, 3, 0.1)
    assert values[START][ALL] == values[START]["EMEA"]
    assert values[START + 60]["EMEA"].requests == 7


def test_a_window_that_began_before_the_records_is_not_shown():
    running = Running(START + 60)
    add(running, START + 59, "EMEA", "a")
    running.add_telemetry(START + 59, "web", "EMEA", counts(1))
    assert running.take_changed() == {}


def test_final_windows_are_dropped_and_a_lost_view_gets_every_other():
    running = Running(START)
    for minute in range(3):
        add(running, START + minute * 60, "EMEA", "a")
    running.take_changed()
    running.drop_before(START + 120)
    add(running, START + 60, "EMEA", "b")  # of a final window: it would show one visitor
    running.change_all()
    assert list(running.take_changed()) == [START + 120]


def test_documents_have_absolute_values_by_region():
    running = Running(START)
    add(running, START, "EMEA", "a")
    running.add_telemetry(START, "web", "EMEA", counts(4, 1, le_10_ms=4))
    values = running.take_changed()[START]
    assert windows.active_users(START, values, is_final=False) == {
        "window_start": START,
        "active_visitors": 1,
        "by_region": {"EMEA": 1},
        "is_final": False,
    }
    assert windows.regional_health(START, values, is_final=True) == {
        "window_start": START,
        "is_final": True,
        "regions": {"EMEA": {"requests": 4, "errors": 1, "error_rate": 0.25, "p95_ms": 9.5, "active_visitors": 1}},
    }


def test_stored_rows_give_the_documents_of_the_running_windows():
    running = Running(START)
    add(running, START, "EMEA", "a")
    running.add_telemetry(START, "web", "EMEA", counts(4, 1, le_10_ms=4))
    values = running.take_changed()
    at = datetime.fromtimestamp(START, UTC)
    rows = [(at, region, 1, v.active_visitors, v.requests, v.errors, v.p95_ms) for region, v in values[START].items()]
    assert windows.by_window(rows) == values
