"""The DAGs over the machines, run by Airflow's own task runner and Google's unmodified client against a fake of its API.

Each fault says what the tasks came to, where the machines ended up, and what people are told to do.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.errors import SettingsError

pytest.importorskip("airflow", reason="Airflow has an environment of its own; `make test` runs these tests there")

from infra.nodes import hold, journal

# By a thread: Airflow's own time-outs take the signal.
pytestmark = pytest.mark.timeout(120, method="thread")

ON = {"node1": "RUNNING", "node2": "RUNNING"}
OFF = {"node1": "TERMINATED", "node2": "TERMINATED"}
STARTED = {"is_wanted": "success", "node1": "success", "node2": "success", "give_back": "success"}
STOPPED = {"may_stop": "success", "node2": "success", "node1": "success"}
LEFT_ALONE = {"may_stop": "skipped", "node2": "skipped", "node1": "skipped"}


def told(world):
    """The one alert; its part after `Next:` is what people are to do."""
    (text,) = world.chat.texts
    assert "Next: " in text, text
    return text


def test_a_start_goes_in_order_and_ends_when_the_services_answer(world):
    assert world.run("vm_start") == STARTED
    assert world.events == ["node1 RUNNING", "node2 RUNNING"]
    assert world.cloud.states() == ON
    assert [event.event for event in journal.read(world.settings)] == ["starting", "running"] * 2
    assert world.chat.texts == []


def test_a_start_of_what_runs_changes_nothing(on):
    assert on.run("vm_start") == STARTED
    assert not [call for call in on.cloud.calls if not call.startswith("get ")]


def test_a_stop_drains_land_before_anything_is_off(on):
    assert on.run("vm_stop") == STOPPED
    assert on.events == ["land drained", "node2 TERMINATED", "node1 TERMINATED"]
    assert on.cloud.states() == OFF


def test_a_machine_that_runs_without_its_services_is_given_back(world):
    world.guests["node2"].is_broken = True
    assert world.run("vm_start", limit_s=30)["node2"] == "failed"
    assert world.cloud.states() == OFF
    assert "node2 is RUNNING, but after 3 s the Thrift Server at 127.0.0.1:" in told(world)
    assert "systemctl --failed" in told(world)


def test_a_start_that_stays_pending_is_given_up_and_what_comes_of_it_later_is_stopped(world):
    world.cloud.is_stuck = True
    states = world.run("vm_start", limit_s=1)
    assert (states["node1"], states["node2"], states["give_back"]) == ("failed", "upstream_failed", "failed")
    first, second = world.chat.texts
    assert "node1 gave up after try 3" in first and "operations list --filter=status!=DONE" in first
    assert "give_back gave up" in second
    # It comes through after all, at an hour when nobody wants it: the next look of vm_stop finds it.
    world.cloud.is_stuck = False
    world.run("vm_stop")
    assert world.cloud.states() == OFF


def test_a_stop_that_stays_pending_is_made_up_for_by_the_next(on):
    on.cloud.is_stuck = True
    states = on.run("vm_stop", limit_s=1)
    assert (states["node2"], states["node1"]) == ("failed", "upstream_failed")
    assert on.cloud.states() == ON  # whole: the source is not taken from under land
    assert "operations list" in told(on)
    on.cloud.is_stuck = False
    assert on.run("vm_stop") == STOPPED
    assert on.cloud.states() == OFF


@pytest.mark.parametrize(
    ("status", "text", "cure", "calls"),
    [
        (403, "Required 'compute.instances.start' permission for 'projects/shop-1/…/node2'", "roles/compute.instanceAdmin.v1", 1),
        (409, "The resource 'node2' is not ready", "operations list", 3),
        (429, "Quota exceeded for quota metric 'Queries'", "too many calls", 6),
        (500, "Internal error", "status.cloud.google.com", 6),
    ],
)
def test_a_refused_start_gives_back_what_was_started(world, status, text, cure, calls):
    world.cloud.refuse("start", "node2", status, text)
    states = world.run("vm_start")
    assert (states["node1"], states["node2"], states["give_back"]) == ("success", "failed", "success")
    assert world.cloud.states() == OFF
    assert f"Google refuses to start node2: {status} {text}" in told(world)
    assert cure in told(world).partition("Next: ")[2]
    # What a second try cannot cure is asked once; the client itself repeats 429 and 5xx once more in each of three tries.
    assert world.cloud.calls.count("start node2") == calls


def test_a_machine_that_is_not_there_is_named(world):
    del world.cloud.machines["node2"]
    world.run("vm_start")
    assert world.cloud.states() == {"node1": "TERMINATED"}
    assert "Google refuses to look at node2: 404" in told(world)
    assert "compare EBAP_GCP_PROJECT, EBAP_GCP_ZONE and EBAP_NODES" in told(world)


@pytest.mark.parametrize("status", [409, 429, 500])
def test_a_refusal_that_passes_is_not_news(world, status):
    world.cloud.refuse("start", "node1", status, "for a moment", times=2)
    assert world.run("vm_start") == STARTED
    assert world.chat.texts == []


@pytest.mark.parametrize(
    ("code", "text", "cure"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources available to fulfill the request.", "another zone"),
        ("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded. Limit: 4.0 in region us-central1.", "ask for more under IAM & Admin, Quotas"),
    ],
)
def test_an_operation_that_ends_in_an_error_gives_back_what_was_started(world, code, text, cure):
    world.cloud.fail("start", "node2", code, text)
    assert world.run("vm_start")["node2"] == "failed"
    assert world.cloud.states() == OFF
    assert text in told(world)
    assert cure in told(world).partition("Next: ")[2]


@pytest.mark.parametrize("status", [403, 500])
def test_a_refused_stop_leaves_nothing_half_stopped(on, status):
    on.cloud.refuse("stop", "node2", status, "no")
    states = on.run("vm_stop")
    assert (states["node2"], states["node1"]) == ("failed", "upstream_failed")
    assert on.cloud.states() == ON
    assert f"Google refuses to stop node2: {status} no. Next: " in told(on)


def test_a_stop_that_fails_half_way_is_completed_by_the_next(on):
    on.cloud.refuse("stop", "node1", 403, "no")
    on.run("vm_stop")
    assert on.cloud.states() == {"node1": "RUNNING", "node2": "TERMINATED"}
    assert "node1 gave up" in told(on)
    on.cloud.faults.clear()
    assert on.run("vm_stop") == STOPPED
    assert on.cloud.states() == OFF


def test_nothing_stops_while_a_run_is_active(on):
    on.airflow.active = [("vm_stop", "scheduled__1"), ("gold", "asset_triggered__7")]
    assert on.run("vm_stop") == LEFT_ALONE
    assert on.cloud.states() == ON
    assert on.events == []
    on.airflow.active = [("vm_stop", "scheduled__2")]
    assert on.run("vm_stop") == STOPPED


def test_nothing_stops_while_airflow_does_not_tell_what_runs(on, monkeypatch):
    import vm_tasks

    def away(settings):
        raise vm_tasks.NotReadyError("Airflow refuses GET …: connection refused")

    monkeypatch.setattr(vm_tasks.airflow_client, "active", away)
    assert on.run("vm_stop")["may_stop"] == "failed"
    assert on.cloud.states() == ON
    assert "the machines stay on until Airflow's API tells what runs" in told(on)


def test_a_setting_that_does_not_fit_is_named(on, monkeypatch):
    monkeypatch.setenv("EBAP_WORK_HOURS", "8 to 6")
    from types import SimpleNamespace

    import vm_tasks

    with pytest.raises(SettingsError) as caught:
        vm_tasks.plan.reason_to_run(vm_tasks.Settings.from_environment(), datetime.now(UTC))
    instance = SimpleNamespace(dag_id="vm_start", task_id="is_wanted", try_number=3)
    vm_tasks.gave_up({"ti": instance, "run_id": "scheduled__1", "exception": caught.value})
    assert "write two times, such as 08:00-18:00 or 00:00-24:00. Next: cure what this line names" in told(on)


def test_a_run_that_begins_between_look_and_stop_is_seen(on, monkeypatch):
    import vm_tasks

    looks = iter(([], ["silver manual__1"]))
    monkeypatch.setattr(vm_tasks.airflow_client, "active", lambda settings: next(looks))
    assert on.run("vm_stop") == {"may_stop": "success", "node2": "skipped", "node1": "skipped"}
    assert on.cloud.states() == ON


def test_a_run_that_is_active_long_after_hours_is_told_once_an_hour(on, monkeypatch):
    import vm_tasks

    monkeypatch.setattr(vm_tasks.plan, "is_news_that_late", lambda settings, at: True)
    on.airflow.active = [("gold", "manual__7")]
    with pytest.raises(vm_tasks.AirflowSkipException):
        vm_tasks._refuse_while_active(on.settings, datetime.now(UTC))
    assert "gold manual__7 still runs" in told(on)


def test_a_stop_that_was_missed_is_made_up_for_and_told(on, a_task_of, monkeypatch):
    import vm_tasks

    a_task_of("scheduled")
    monkeypatch.setattr(vm_tasks.plan, "overdue", lambda settings, at: timedelta(hours=3))
    vm_tasks.may_stop(on.settings, "scheduled__1")  # does not skip
    assert "ran for 3 h without need; they are stopped now" in told(on)


def test_a_machine_that_would_cut_a_batch_short_is_not_stopped(on):
    on.cloud.machines["node2"].graceful_s = 30
    assert on.run("vm_stop")["may_stop"] == "failed"
    assert on.cloud.states() == ON
    assert "--graceful-shutdown-max-duration=120s" in told(on)


def test_a_hold_keeps_the_machines_on_until_it_expires(on):
    hold.place(on.settings, "2h", datetime.now(UTC))
    assert on.run("vm_stop") == LEFT_ALONE
    assert on.cloud.states() == ON
    hold.place(on.settings, "2h", datetime.now(UTC) - timedelta(hours=3))
    assert on.run("vm_stop") == STOPPED


def test_without_a_project_a_run_does_nothing_and_says_why(world, monkeypatch, caplog):
    monkeypatch.setenv("EBAP_GCP_PROJECT", "")
    assert set(world.run("vm_start").values()) == {"skipped"}
    assert world.cloud.calls == []
    assert "EBAP_GCP_PROJECT is empty" in caplog.text


def test_a_preemption_in_a_stockout_names_what_to_do_and_leaves_the_source_running(on):
    on.cloud.preempt("node2")
    on.cloud.fail("start", "node2", "ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources.")
    assert on.run("vm_start")["node2"] == "failed"
    # What this run did not start it does not stop: people and the capture are at work on the source.
    assert on.cloud.states() == {"node1": "RUNNING", "node2": "TERMINATED"}
    assert "no Spot" in told(on)
