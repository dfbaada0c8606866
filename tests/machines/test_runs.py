"""Tasks that need the machines, while the machines are off, stopping, or preempted."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("airflow", reason="Airflow has an environment of its own; `make test` runs these tests there")

ON = {"node1": "RUNNING", "node2": "RUNNING"}
OFF = {"node1": "TERMINATED", "node2": "TERMINATED"}


def test_a_scheduled_run_that_can_wait_is_skipped_while_the_machines_are_off(world, a_task_of):
    import vm_tasks

    a_task_of("scheduled")
    with pytest.raises(vm_tasks.AirflowSkipException, match="nothing is lost"):
        vm_tasks.wait_for_machines(world.settings, can_wait=True)
    assert world.cloud.states() == OFF
    assert world.airflow.triggered == []


def test_a_scheduled_vm_start_waits_for_working_hours_and_a_manual_one_does_not(world, a_task_of):
    import vm_tasks

    a_task_of("scheduled")
    with pytest.raises(vm_tasks.AirflowSkipException, match="outside working hours until"):
        vm_tasks.is_wanted(world.settings, "scheduled__1")
    a_task_of("manual")
    vm_tasks.is_wanted(world.settings, "manual__1")


def test_in_working_hours_a_scheduled_vm_stop_leaves_the_machines_on(on, a_task_of, monkeypatch):
    import vm_tasks

    a_task_of("scheduled")
    monkeypatch.setattr(vm_tasks.plan, "reason_to_run", lambda settings, at: "these are working hours")
    with pytest.raises(vm_tasks.AirflowSkipException, match="these are working hours"):
        vm_tasks.may_stop(on.settings, "scheduled__1")
    assert on.cloud.calls == []


@pytest.mark.parametrize(("run_type", "can_wait"), [("manual", True), ("backfill", False), ("scheduled", False)])
def test_a_run_that_needs_the_machines_starts_them(world, a_task_of, run_type, can_wait):
    import vm_tasks

    world.airflow.trigger = _starting(world)
    a_task_of(run_type)
    vm_tasks.wait_for_machines(world.settings, can_wait=can_wait)
    assert world.airflow.triggered == ["vm_start"]
    assert world.cloud.states() == ON


def test_the_next_try_recovers_from_a_preemption_during_a_run(on):
    import vm_tasks

    vm_tasks.wait_for_machines(on.settings, can_wait=False)
    assert on.airflow.triggered == []  # the first try found its machines
    on.cloud.machines["node2"].is_spot = True
    on.cloud.preempt("node2")
    on.airflow.trigger = _starting(on)
    vm_tasks.wait_for_machines(on.settings, can_wait=False)
    assert on.airflow.triggered == ["vm_start"]
    assert on.cloud.states() == ON
    assert on.cloud.calls.count("start node2") == 1


def test_the_waiting_task_reports_a_failed_start(world, a_task_of):
    import vm_tasks

    a_task_of("manual")
    world.airflow.trigger = lambda dag_id: {"node1": "failed", "node2": "upstream_failed"}
    with pytest.raises(vm_tasks.AirflowException, match="node1, node2 of DAG vm_start failed; its alert gives the next step"):
        vm_tasks.wait_for_machines(world.settings, can_wait=False)


def test_a_task_that_begins_during_a_stop_waits_for_its_end(on, a_task_of):
    import vm_tasks

    a_task_of("manual")
    on.airflow.trigger = lambda dag_id: {}
    with vm_tasks._stopping(on.settings):
        waiting = threading.Thread(target=vm_tasks.wait_for_machines, args=(on.settings,), kwargs={"can_wait": False})
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        on.cloud.preempt("node2")
    waiting.join(10)
    assert on.airflow.triggered == ["vm_start"]


def _starting(world):
    """Start the machines as DAG vm_start does, one task after the other, and return the task states."""

    def trigger(dag_id):
        from infra import nodes
        from machines import Machines

        for node in nodes.in_start_order(world.settings):
            Machines(world.settings, "manual__1").start(node)
        return {"node1": "success", "node2": "success"}

    return trigger
