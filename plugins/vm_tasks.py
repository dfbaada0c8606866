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
# Longer than vm_stop may take: what is older was left by one that was killed.
_STOPPING_FOR = timedelta(minutes=40)


def machine_task(task_id: str, doc: str, do: Callable[[Settings, str], Any]) -> Any:
    """A task that looks at or switches machines: `do` gets the settings and the run's id. One of them runs at a time."""

    @task(
        task_id=task_id,
        owner="platform",
        pool=pools.MACHINES,
        outlets=[Asset(name=f"machines.{task_id}", uri=f"ebap://machines/{task_id}", group="machines")],
        doc_md=doc,
        retries=2,
        retry_delay=timedelta(seconds=30),
        # The hook waits for an operation without an end of its own. Longer than a start (minutes) and the wait for services (8 min).
        execution_timeout=timedelta(minutes=15),
        do_xcom_push=False,
        on_failure_callback=gave_up,
    )
    def run() -> None:
        settings = Settings.from_environment()
        if not settings.gcp_project:
            raise _skipped(plan.NO_PROJECT)
        _repeat_the_timeout()
        do(settings, get_current_context()["run_id"])

    return run()


def _repeat_the_timeout() -> None:
    """Let Airflow's time-out strike every two seconds once it is due, until it has ended the task.

    It is an exception out of a signal, raised once. Where that falls into a finalizer Python ignores it, and the hook would wait for
    ever: its client leaves so much to collect that one of some dozens was lost in tests.
    """
    left_s, _ = signal.getitimer(signal.ITIMER_REAL)
    if left_s:
        signal.setitimer(signal.ITIMER_REAL, left_s, 2.0)


def gave_up(context: Mapping[str, Any]) -> None:
    """For `on_failure_callback`: what failed, and what to do. A time-out and a fault of a setting do not say the latter themselves."""
    instance, error = context["ti"], context.get("exception")
    text = str(error or "").strip() or type(error).__name__
    if isinstance(error, AirflowTaskTimeout):
        text += ". Next: `gcloud compute operations list --filter=status!=DONE` shows a call that hangs; the next look takes it from there"
    elif "Next:" not in text:
        text += ". Next: cure what this line names; the next look tries again"
    alerts.tell(f"{instance.dag_id}: {instance.task_id} gave up after try {instance.try_number}: {text} (run {context['run_id']})")


def is_wanted(settings: Settings, run: str) -> None:
    """Skip the run unless the machines should run now; a run somebody asked for always goes on."""
    reason = "somebody asked for it" if _is_asked() else plan.reason_to_run(settings, datetime.now(UTC))
    if not reason:
        raise _skipped(plan.why_off(settings, datetime.now(UTC)))
    log.info("the machines should run: %s", reason)


def may_stop(settings: Settings, run: str) -> None:
    """Skip the run while the machines should run, are off already, or are at work."""
    now = datetime.now(UTC)
    reason = plan.held(settings, now) if _is_asked() else plan.reason_to_run(settings, now)
    if reason:
        raise _skipped(reason)
    machines = Machines(settings, run)
    if all(machines.is_off(node) for node in nodes.in_start_order(settings)):
        raise _skipped("they are off")
    for node in nodes.in_stop_order(settings):
        machines.refuse_abrupt(node)
    _refuse_while_active(settings, now)
    if not _is_asked() and plan.overdue(settings, now) >= plan.LATE:
        alerts.tell(
            f"vm_stop: the machines ran for {plan.overdue(settings, now) // plan.LATE} h without need; they are stopped now. "
            "Next: see in vm_stop's grid whether Airflow was away or earlier stops failed"
        )


def start(settings: Settings, run: str, node: Node) -> None:
    """Start that machine, and wait until its services answer."""
    Machines(settings, run).start(node)


def stop(settings: Settings, run: str, node: Node) -> None:
    """Stop that machine, unless a run has begun since the first look."""
    with _stopping(settings):
        _refuse_while_active(settings, datetime.now(UTC))
        Machines(settings, run).stop(node)


def give_back(settings: Settings, run: str) -> None:
    """After a start that failed, stop what this run had started: half a set-up costs money and serves nobody."""
    if all(journal.last(settings, node.name) == journal.RUNNING for node in nodes.in_start_order(settings)):
        return
    mine = journal.started_by(settings, run)
    for node in nodes.in_stop_order(settings):
        if node.name in mine:
            Machines(settings, run).give_back(node)


def wait_for_machines(settings: Settings, *, can_wait: bool) -> None:
    """For a task that needs the machines: start them where they are off, or skip it where its run can wait until they are on."""
    if not settings.gcp_project:
        return
    now = datetime.now(UTC)
    if can_wait and not _is_asked() and not plan.reason_to_run(settings, now):
        raise _skipped(f"the machines are off: {plan.why_off(settings, now)}; nothing is lost, the next run takes it up")
    left_s = next((_START_WITHIN_S - elapsed_s for elapsed_s in wait.looks(_START_WITHIN_S, every_s=1) if not _is_stopping(settings)), 0.0)
    if any(answers.missing(settings, node) for node in nodes.in_start_order(settings)):
        log.info("the machines do not answer: vm_start is asked for them")
        failed = airflow_client.finish(settings, "vm_start", left_s)
        if failed:
            raise AirflowException(
                f"the machines could not be started: {', '.join(failed)} of DAG vm_start failed; its alert says what to do"
            )


def _refuse_while_active(settings: Settings, now: datetime) -> None:
    try:
        active = airflow_client.active(settings)
    except NotReadyError as error:
        raise AirflowException(f"{error}. Next: the machines stay on until Airflow's API tells what runs; see `make status`") from error
    if active:
        told = f"the machines stay on: {', '.join(active)} still runs or waits; the next look tries again"
        if plan.is_news_that_late(settings, now):
            late = plan.overdue(settings, now) // plan.LATE
            alerts.tell(f"vm_stop: for {late} h nobody needs the machines, but {told}. Next: look at that run's grid, end it if it hangs")
        raise _skipped(told)


@contextmanager
def _stopping(settings: Settings) -> Iterator[None]:
    """Tell tasks that begin now to wait: either they see this, or the look for active runs that follows it sees them."""
    mark = settings.control_dir / "machines.stopping"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _is_stopping(settings: Settings) -> bool:
    try:
        made = (settings.control_dir / "machines.stopping").stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - made < _STOPPING_FOR.total_seconds()


def _is_asked() -> bool:
    """Whether somebody triggered this run, rather than the clock."""
    return get_current_context()["dag_run"].run_type in ("manual", "backfill")


def _skipped(reason: str) -> AirflowSkipException:
    log.info("nothing is done: %s", reason)
    return AirflowSkipException(reason)
