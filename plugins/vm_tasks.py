"""Tasks of DAGs `vm_start` and `vm_stop`, and what a task that needs the machines does while they are off."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowSkipException, AirflowTaskTimeout

import alerts
from infra import nodes
from infra.airflow import pools
from infra.nodes import Node, answers, journal, plan
from lakehouse import wait
from lakehouse.errors import NotReadyError
from lakehouse.health import airflow_client
from lakehouse.settings import Settings
from machines import Machines

log = logging.getLogger(__name__)

_START_WITHIN_S = 12 * 60
# Longer than vm_stop may take: an older marker was left by a killed task.
_STOPPING_FOR = timedelta(minutes=40)


def machine_task(task_id: str, doc: str, do: Callable[[Settings, str], Any]) -> Any:
    """A task that checks or switches machines: `do` is called with the settings and the run's id. One such task runs at a time."""

    @task(
        task_id=task_id,
        owner="platform",
        pool=pools.MACHINES,
        outlets=[Asset(name=f"machines.{task_id}", uri=f"ebap://machines/{task_id}", group="machines")],
        doc_md=doc,
        retries=2,
        retry_delay=timedelta(seconds=30),
        # The hook waits for an operation without a limit. Longer than a start (minutes) and the wait for services (8 min).
        execution_timeout=timedelta(minutes=15),
        do_xcom_push=False,
        on_failure_callback=alert_failure,
    )
    def run() -> None:
        settings = Settings.from_environment()
        if not settings.gcp_project:
            raise _skipped(plan.NO_PROJECT)
        _repeat_the_timeout()
        do(settings, get_current_context()["run_id"])

    return run()


def _repeat_the_timeout() -> None:
    """Repeat Airflow's timeout signal every two seconds once it is due, until it has ended the task.

    The signal raises an exception once. Python ignores an exception raised within a finalizer, and the hook would then wait forever:
    its client triggers so much garbage collection that one timeout in some dozens was lost in tests.
    """
    left_s, _ = signal.getitimer(signal.ITIMER_REAL)
    if left_s:
        signal.setitimer(signal.ITIMER_REAL, left_s, 2.0)


def alert_failure(context: Mapping[str, Any]) -> None:
    """For `on_failure_callback`: what failed and the next step, which is added for timeouts and invalid settings."""
    instance, error = context["ti"], context.get("exception")
    text = str(error or "").strip() or type(error).__name__
    if isinstance(error, AirflowTaskTimeout):
        text += ". Next: `gcloud compute operations list --filter=status!=DONE` lists calls that hang; the next check continues from there"
    elif "Next:" not in text:
        text += ". Next: fix the cause named here; the next check retries"
    alerts.send(f"{instance.dag_id}: {instance.task_id} failed after try {instance.try_number}: {text} (run {context['run_id']})")


def is_wanted(settings: Settings, run: str) -> None:
    """Skip the run unless the machines should be on now; a manual run always continues."""
    reason = "the run was triggered manually" if _is_manual() else plan.reason_to_run(settings, datetime.now(UTC))
    if not reason:
        raise _skipped(plan.why_off(settings, datetime.now(UTC)))
    log.info("the machines should be on: %s", reason)


def may_stop(settings: Settings, run: str) -> None:
    """Skip the run while the machines should be on, are off already, or are in use."""
    now = datetime.now(UTC)
    reason = plan.held(settings, now) if _is_manual() else plan.reason_to_run(settings, now)
    if reason:
        raise _skipped(reason)
    machines = Machines(settings, run)
    if all(machines.is_off(node) for node in nodes.in_start_order(settings)):
        raise _skipped("the machines are off")
    for node in nodes.in_stop_order(settings):
        machines.refuse_abrupt(node)
    _refuse_while_active(settings, now)
    if not _is_manual() and plan.overdue(settings, now) >= plan.LATE:
        alerts.send(
            f"vm_stop: the machines were on for {plan.overdue(settings, now) // plan.LATE} h without need; they are stopped now. "
            "Next: check in vm_stop's grid whether Airflow was down or earlier stops failed"
        )


def start(settings: Settings, run: str, node: Node) -> None:
    """Start the machine, and wait until its services respond."""
    Machines(settings, run).start(node)


def stop(settings: Settings, run: str, node: Node) -> None:
    """Stop the machine, unless a run has started since the first check."""
    with _stopping(settings):
        _refuse_while_active(settings, datetime.now(UTC))
        Machines(settings, run).stop(node)


def give_back(settings: Settings, run: str) -> None:
    """After a failed start, stop the machines that this run had started."""
    if all(journal.last(settings, node.name) == journal.RUNNING for node in nodes.in_start_order(settings)):
        return
    mine = journal.started_by(settings, run)
    for node in nodes.in_stop_order(settings):
        if node.name in mine:
            Machines(settings, run).give_back(node)


def wait_for_machines(settings: Settings, *, can_wait: bool) -> None:
    """For a task that needs the machines: start them if they are off, or skip the task if its run can wait until they are on."""
    if not settings.gcp_project:
        return
    now = datetime.now(UTC)
    if can_wait and not _is_manual() and not plan.reason_to_run(settings, now):
        raise _skipped(f"the machines are off: {plan.why_off(settings, now)}; the next run processes these changes, nothing is lost")
    left_s = next((_START_WITHIN_S - elapsed_s for elapsed_s in wait.looks(_START_WITHIN_S, every_s=1) if not _is_stopping(settings)), 0.0)
    if any(answers.missing(settings, node) for node in nodes.in_start_order(settings)):
        log.info("the machines do not respond: triggering vm_start")
        failed = airflow_client.finish(settings, "vm_start", left_s)
        if failed:
            raise AirflowException(
                f"the machines could not be started: {', '.join(failed)} of DAG vm_start failed; its alert gives the next step"
            )


def _refuse_while_active(settings: Settings, now: datetime) -> None:
    try:
        active = airflow_client.active(settings)
    except NotReadyError as error:
        raise AirflowException(f"{error}. Next: the machines stay on until Airflow's API responds; see `make status`") from error
    if active:
        reason = f"the machines stay on: {', '.join(active)} is still running or queued; the next check retries"
        if plan.is_alert_due(settings, now):
            late = plan.overdue(settings, now) // plan.LATE
            alerts.send(f"vm_stop: overdue for {late} h: {reason}. Next: check that run's grid, and end the run if it hangs")
        raise _skipped(reason)


@contextmanager
def _stopping(settings: Settings) -> Iterator[None]:
    """Write the marker that makes starting tasks wait: a task either sees it, or the check for active runs after it sees the task."""
    marker = settings.control_dir / "machines.stopping"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def _is_stopping(settings: Settings) -> bool:
    try:
        written_at = (settings.control_dir / "machines.stopping").stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - written_at < _STOPPING_FOR.total_seconds()


def _is_manual() -> bool:
    """Whether this run was triggered manually or by a backfill, not by its schedule."""
    return get_current_context()["dag_run"].run_type in ("manual", "backfill")


def _skipped(reason: str) -> AirflowSkipException:
    log.info("skipped: %s", reason)
    return AirflowSkipException(reason)
