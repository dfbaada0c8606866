"""The DAGs over the machines, run by Airflow's own task runner and Google's unmodified client against a fake of its API.

Each fault test asserts the task states, the states of the machines, and the next step in the alert.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.errors import SettingsError

pytest.importorskip("airflow", reason="Airflow has an environment of its own; `make test` runs these tests there")

from infra.nodes import hold, journal

# By a thread: Airflow's own timeouts use the signal.
pytestmark = pytest.mark.timeout(120, method="thread")

ON = {"node1": "RUNNING", "node2": "RUNNING"}
OFF = {"node1": "TERMINATED", "node2": "TERMINATED"}
STARTED = {"is_wanted": "success", "node1": "success", "node2": "success", "give_back": "success"}
STOPPED = {"may_stop": "success", "node2": "success", "node1": "success"}
LEFT_ALONE = {"may_stop": "skipped", "node2": "skipped", "node1": "skipped"}


def alert(world):
    """The text of the only alert; the part after `Next:` is the next step."""
    (text,) = world.chat.texts
    assert "Next: " in text, text
    return text


def test_a_start_goes_in_order_and_ends_when_the_services_respond(world):
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
    assert "node2 is RUNNING, but after 3 s the Thrift Server at 127.0.0.1:" in alert(world)
    assert "systemctl --failed" in alert(world)


def test_a_start_that_stays_pending_fails_and_is_stopped_if_it_completes_later(world):
    world.cloud.is_stuck = True
    states = world.run("vm_start", limit_s=1)
    assert (states["node1"], states["node2"], states["give_back"]) == ("failed", "upstream_failed", "failed")
    first, second = world.chat.texts
    assert "node1 failed after try 3" in first and "operations list --filter=status!=DONE" in first
    assert "give_back failed" in second
    # The start completes later, outside working hours: the next vm_stop stops the machine.
    world.cloud.is_stuck = False
    world.run("vm_stop")
    assert world.cloud.states() == OFF


def test_a_stop_that_stays_pending_is_made_up_for_by_the_next(on):
    on.cloud.is_stuck = True
    states = on.run("vm_stop", limit_s=1)
    assert (states["node2"], states["node1"]) == ("failed", "upstream_failed")
    assert on.cloud.states() == ON  # the source keeps running while land does
    assert "operations list" in alert(on)
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
    assert f"Google's API refused to start node2: {status} {text}" in alert(world)
    assert cure in alert(world).partition("Next: ")[2]
    # Permanent errors are not retried; the client itself repeats 429 and 5xx once in each of three tries.
    assert world.cloud.calls.count("start node2") == calls


def test_a_missing_machine_is_named(world):
    del world.cloud.machines["node2"]
    world.run("vm_start")
    assert world.cloud.states() == {"node1": "TERMINATED"}
    assert "Google's API refused to describe node2: 404" in alert(world)
    assert "compare EBAP_GCP_PROJECT, EBAP_GCP_ZONE and EBAP_NODES" in alert(world)


@pytest.mark.parametrize("status", [409, 429, 500])
def test_a_transient_refusal_sends_no_alert(world, status):
    world.cloud.refuse("start", "node1", status, "for a moment", times=2)
    assert world.run("vm_start") == STARTED
    assert world.chat.texts == []


@pytest.mark.parametrize(
    ("code", "text", "cure"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources available to fulfill the request.", "another zone"),
        ("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded. Limit: 4.0 in region us-central1.", "request a higher quota under IAM & Admin, Quotas"),
    ],
)
def test_an_operation_that_ends_in_an_error_gives_back_what_was_started(world, code, text, cure):
    world.cloud.fail("start", "node2", code, text)
    assert world.run("vm_start")["node2"] == "failed"
    assert world.cloud.states() == OFF
    assert text in alert(world)
    assert cure in alert(world).partition("Next: ")[2]


@pytest.mark.parametrize("status", [403, 500])
def test_a_refused_stop_leaves_nothing_half_stopped(on, status):
    on.cloud.refuse("stop", "node2", status, "no")
    states = on.run("vm_stop")
    assert (states["node2"], states["node1"]) == ("failed", "upstream_failed")
    assert on.cloud.states() == ON
    assert f"Google's API refused to stop node2: {status} no. Next: " in alert(on)


def test_a_stop_that_fails_half_way_is_completed_by_the_next(on):
    on.cloud.refuse("stop", "node1", 403, "no")
    on.run("vm_stop")
    assert on.cloud.states() == {"node1": "RUNNING", "node2": "TERMINATED"}
    assert "node1 failed" in alert(on)
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


def test_nothing_stops_while_airflows_api_does_not_respond(on, monkeypatch):
    import vm_tasks

    def away(settings):
        raise vm_tasks.NotReadyError("Airflow refuses GET …: connection refused")

    monkeypatch.setattr(vm_tasks.airflow_client, "active", away)
    assert on.run("vm_stop")["may_stop"] == "failed"
    assert on.cloud.states() == ON
    assert "the machines stay on until Airflow's API responds" in alert(on)


def test_an_invalid_setting_is_named(on, monkeypatch):
    monkeypatch.setenv("EBAP_WORK_HOURS", "8 to 6")
    from types import SimpleNamespace

    import vm_tasks

    with pytest.raises(SettingsError) as caught:
        vm_tasks.plan.reason_to_run(vm_tasks.Settings.from_environment(), datetime.now(UTC))
    instance = SimpleNamespace(dag_id="vm_start", task_id="is_wanted", try_number=3)
    vm_tasks.alert_failure({"ti": instance, "run_id": "scheduled__1", "exception": caught.value})
    assert "write two times, such as 08:00-18:00 or 00:00-24:00. Next: fix the cause named here" in alert(on)


def test_a_run_that_starts_between_check_and_stop_is_seen(on, monkeypatch):
    import vm_tasks

    checks = iter(([], ["silver manual__1"]))
    monkeypatch.setattr(vm_tasks.airflow_client, "active", lambda settings: next(checks))
    assert on.run("vm_stop") == {"may_stop": "success", "node2": "skipped", "node1": "skipped"}
    assert on.cloud.states() == ON


def test_a_run_that_is_active_long_after_hours_sends_an_alert_once_an_hour(on, monkeypatch):
    import vm_tasks

    monkeypatch.setattr(vm_tasks.plan, "is_alert_due", lambda settings, at: True)
    on.airflow.active = [("gold", "manual__7")]
    with pytest.raises(vm_tasks.AirflowSkipException):
        vm_tasks._refuse_while_active(on.settings, datetime.now(UTC))
    assert "gold manual__7 is still running" in alert(on)


def test_a_missed_stop_is_made_up_for_and_sends_an_alert(on, a_task_of, monkeypatch):
    import vm_tasks

    a_task_of("scheduled")
    monkeypatch.setattr(vm_tasks.plan, "overdue", lambda settings, at: timedelta(hours=3))
    vm_tasks.may_stop(on.settings, "scheduled__1")  # does not skip
    assert "were on for 3 h without need; they are stopped now" in alert(on)


def test_a_machine_without_graceful_shutdown_is_not_stopped(on):
    on.cloud.machines["node2"].graceful_s = 30
    assert on.run("vm_stop")["may_stop"] == "failed"
    assert on.cloud.states() == ON
    assert "--graceful-shutdown-max-duration=120s" in alert(on)


def test_a_hold_keeps_the_machines_on_until_it_expires(on):
    hold.place(on.settings, "2h", datetime.now(UTC))
    assert on.run("vm_stop") == LEFT_ALONE
    assert on.cloud.states() == ON
    hold.place(on.settings, "2h", datetime.now(UTC) - timedelta(hours=3))
    assert on.run("vm_stop") == STOPPED


def test_without_a_project_a_run_does_nothing_and_logs_the_reason(world, monkeypatch, caplog):
    monkeypatch.setenv("EBAP_GCP_PROJECT", "")
    assert set(world.run("vm_start").values()) == {"skipped"}
    assert world.cloud.calls == []
    assert "EBAP_GCP_PROJECT is empty" in caplog.text


def test_a_preemption_in_a_stockout_gives_the_next_step_and_leaves_the_source_running(on):
    on.cloud.preempt("node2")
    on.cloud.fail("start", "node2", "ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources.")
    assert on.run("vm_start")["node2"] == "failed"
    # The run stops only what it started: the source is in use.
    assert on.cloud.states() == {"node1": "RUNNING", "node2": "TERMINATED"}
    assert "no Spot" in alert(on)
