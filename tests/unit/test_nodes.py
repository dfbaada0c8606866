"""Schedule, order and journal of the machines, without Airflow or a cloud."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra import nodes
from infra.nodes import drain, hold, hours, journal, plan
from lakehouse.errors import SettingsError
from lakehouse.settings import Settings
from lakehouse.spark.streaming import stop_file
from tests.refusals import refused

FRIDAY = "2026-11-20"


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path), gcp_project="shop-1")


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (f"{FRIDAY}T07:44", False),
        (f"{FRIDAY}T07:45", True),  # a quarter of an hour before
        (f"{FRIDAY}T17:59", True),
        (f"{FRIDAY}T18:00", False),
        ("2026-11-21T12:00", False),  # a Saturday
    ],
)
def test_machines_run_on_working_days_from_a_quarter_of_an_hour_before(settings: Settings, at: str, is_open: bool) -> None:
    assert bool(plan.reason_to_run(settings, _at(at))) is is_open


def test_hours_are_those_of_the_time_zone_on_both_sides_of_a_change_of_the_clocks() -> None:
    berlin = hours.of(Settings(time_zone="Europe/Berlin"))
    assert berlin.opens(_at("2026-10-23T20:00")) == _at("2026-10-26T06:45")  # the clocks went back on the 25th
    assert berlin.opens(_at("2026-10-22T20:00")) == _at("2026-10-23T05:45")


def test_an_end_before_the_start_is_on_the_next_day() -> None:
    night = hours.of(Settings(work_days="fri", work_hours="22:00-06:00"))
    assert night.closes(_at("2026-11-21T03:00")) == _at("2026-11-21T06:00")
    assert night.closes(_at("2026-11-22T03:00")) is None


def test_all_day_every_day_never_closes_for_long() -> None:
    always = hours.of(Settings(work_days="mon-sun", work_hours="00:00-24:00"))
    assert all(always.closes(_at(f"{FRIDAY}T00:00") + timedelta(hours=hour)) for hour in range(200))
    assert always.hours_a_month() == pytest.approx(730)


@pytest.mark.parametrize(
    ("text", "days"), [("mon-fri", 5), ("sat-mon", 3), ("mon,wed,sat", 3), ("sun", 1), ("Mon - Fri".replace(" ", ""), 5)]
)
def test_days_are_ranges_and_lists(text: str, days: int) -> None:
    assert len(hours.of(Settings(work_days=text)).days) == days


@pytest.mark.parametrize(
    "wrong", [{"work_days": "monday"}, {"work_days": ""}, {"work_hours": "8-18"}, {"work_hours": "08:00-25:00"}, {"time_zone": "Mars/Base"}]
)
def test_invalid_hours_are_named_with_a_cure(wrong: dict[str, str]) -> None:
    with refused(f"EBAP_{next(iter(wrong)).upper()}", cure="write ", kind=SettingsError):
        hours.of(Settings(**wrong))  # type: ignore[arg-type]


def test_the_source_starts_first_and_stops_last() -> None:
    settings = Settings(nodes="b:spark, a:source@10.0.0.2")
    assert [(node.name, node.address) for node in nodes.in_start_order(settings)] == [("a", "10.0.0.2"), ("b", "b")]
    assert [node.name for node in nodes.in_stop_order(settings)] == ["b", "a"]


@pytest.mark.parametrize("text", ["", "node1", "node1:kitchen", ":source", "a:spark,a:source"])
def test_invalid_machines_are_refused(text: str) -> None:
    with refused("EBAP_NODES", kind=SettingsError):
        nodes.in_start_order(Settings(nodes=text))


def test_airflows_own_machine_is_refused() -> None:
    with refused("EBAP_NODES", cure="instance schedule", kind=SettingsError):
        nodes.in_start_order(Settings(nodes=f"{socket.gethostname()}:source", gcp_project="shop-1"))
    assert nodes.in_start_order(Settings(nodes=f"{socket.gethostname()}:source"))  # nothing is switched without a project


def test_a_hold_is_visible_counts_until_it_expires_and_can_be_ended(settings: Settings) -> None:
    night = _at(f"{FRIDAY}T23:00")
    assert plan.reason_to_run(settings, night) is None
    hold.place(settings, "90m", night)
    reason = plan.reason_to_run(settings, night + timedelta(minutes=89))
    assert reason and "until Sat 2026-11-21 00:30 UTC" in reason
    assert plan.reason_to_run(settings, night + timedelta(minutes=90)) is None
    hold.release(settings)
    assert plan.reason_to_run(settings, night) is None


@pytest.mark.parametrize("text", ["2", "0h", "8d", "soon", "-1h"])
def test_a_hold_needs_a_length_and_an_end(settings: Settings, text: str) -> None:
    with refused(repr(text), cure="seven days at most"):
        hold.place(settings, text, _at(FRIDAY))


def test_an_alert_is_due_once_an_hour_while_machines_are_overdue(settings: Settings) -> None:
    checks = [_at(f"{FRIDAY}T18:00") + timedelta(minutes=10 * number) for number in range(24)]
    due = [at for at in checks if plan.is_alert_due(settings, at)]
    assert due == [_at(f"{FRIDAY}T{hour}:00") for hour in (19, 20, 21)]


def test_machines_are_overdue_since_hours_or_hold_ended_or_the_last_start(settings: Settings) -> None:
    def late(at: str) -> float:
        return plan.overdue(settings, _at(f"{FRIDAY}T{at}")).total_seconds() / 3600

    assert late("20:00") == 2
    hold.place(settings, "1h", _at(f"{FRIDAY}T18:30"))
    assert late("20:00") == 0.5
    journal.write(settings, "node1", journal.STARTING, "run1", _at(f"{FRIDAY}T22:00"))
    assert late("22:30") == 0.5


def test_hours_off_are_counted_from_off_to_the_next_start(settings: Settings) -> None:
    for hour, event in enumerate(
        (journal.STOPPING, journal.OFF, journal.OFF, journal.STARTING, journal.RUNNING, journal.STOPPING, journal.OFF)
    ):
        journal.write(settings, "node1", event, f"run{hour}", _at(f"{FRIDAY}T{hour:02}:00"))
    assert journal.hours_off(journal.read(settings), _at(f"{FRIDAY}T10:00")) == {"node1": 2 + 4}
    assert journal.started_by(settings, "run3") == {"node1"}
    assert journal.last(settings, "node1") == journal.OFF


def test_land_is_drained_when_it_removes_the_request(settings: Settings) -> None:
    threading.Timer(0.3, lambda: stop_file(settings, "land").unlink()).start()
    assert drain.drain(settings, limit_s=5)
    assert not drain.drain(settings, limit_s=0.3)
