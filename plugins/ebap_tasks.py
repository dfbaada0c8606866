"""Tasks of the DAGs, one per table: in the task's process, as a thin client of the warm Spark server, or submitted."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import Asset, DeadlineAlert, DeadlineReference, SyncCallback, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

import alerts
import submitted
from infra.airflow import pools
from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.settings import Settings
from lakehouse.verbs import SUBMITTED, VERBS
from vm_tasks import wait_for_machines
from warm_server import session_of_this_try

log = logging.getLogger(__name__)

# Updated once per run that changed any silver table; gold is scheduled on it.
SILVER = Asset(name="silver", uri="ebap://silver", group="silver")


def asset(table: Table) -> Asset:
    """The asset that the table's task updates."""
    return Asset(name=table.full_name, uri=f"ebap://{table.layer.value}/{table.name}", group=table.layer.value)


def table_task(table: Table, pool: str, app: str, argv: Any, *, task_id: str = "", emits_event: bool = True, can_wait: bool = False) -> Any:
    """The task that runs command `app` with `argv`, a list or a template that renders to one; an empty list skips the task.

    If the result's `changed` is false the task is skipped, and its asset gets no event.

    The task id defaults to the table's name. `emits_event=False` is for commands that rewrite files only, without changing rows.
    `can_wait`: a later run makes up for this one, so a scheduled run does not start machines that are off.
    """

    @task(
        task_id=task_id or table.name,
        owner=table.owner,
        pool=pool,
        outlets=[asset(table)] if emits_event else [],
        doc_md=f"{table.doc}\n\nGrain: {table.grain}.",
        # Short: the next run of all tables waits for the retries of one.
        retries=2,
        retry_delay=timedelta(seconds=5),
        # A whole table is rebuilt in minutes; a task that takes longer hangs.
        execution_timeout=timedelta(minutes=15),
        # A table may have changes although its upstream table was skipped; after a failed upstream it would read inconsistent data.
        trigger_rule="none_failed",
        do_xcom_push=False,
        on_failure_callback=partial(alerts.task_failed, table.full_name),
    )
    def run(argv: list[str]) -> None:
        if not argv:
            raise AirflowSkipException(f"{table.full_name} was not requested")
        result = _run(table, app, argv, can_wait)
        if not result.changed:
            log.info("%s is unchanged: %s", table.full_name, result)
            raise AirflowSkipException
        log.info("%s is complete: %s", table.full_name, result)

    # Passed as an argument so that Airflow renders templates in it.
    return run(argv)


def quarantine_task() -> Any:
    """The check that fails if too many records are in quarantine. A teardown, so that it always runs and blocks nothing."""

    @task(
        task_id=platform_tables.QUARANTINE.name,
        owner=platform_tables.QUARANTINE.owner,
        pool=pools.PLATFORM,
        doc_md="Fails if more records of a table are in quarantine than EBAP_QUARANTINE_ALERT; the tables continue.",
        retries=1,
        retry_delay=timedelta(seconds=5),
        execution_timeout=timedelta(minutes=5),
        do_xcom_push=False,
        on_failure_callback=partial(alerts.task_failed, platform_tables.QUARANTINE.full_name),
    )
    def check() -> None:
        settings = Settings.from_environment()
        wait_for_machines(settings, can_wait=True)
        from lakehouse.lake import quarantine_counts  # loads DuckDB: never while a DAG file is parsed
        from lakehouse.lake.lake import Lake

        log.info("%s records are in quarantine", quarantine_counts.check(Lake(settings)))

    return check().as_teardown()


def changed_task(members: Iterable[Table]) -> Any:
    """The last task of a run: emits one event of asset `silver` if any of these tables changed, and is skipped otherwise.

    One event per run, so that gold runs once and not once per table. A teardown, so that it runs although tables failed, and does not
    affect the run's state.
    """
    names = [table.name for table in members]

    @task(
        task_id="changed",
        owner=platform_tables.QUARANTINE.owner,
        pool=pools.PLATFORM,
        outlets=[SILVER],
        doc_md="Triggers `gold` once if any table changed in this run.",
        retries=1,
        retry_delay=timedelta(seconds=5),
        execution_timeout=timedelta(minutes=5),
        do_xcom_push=False,
    )
    def emit() -> None:
        instance = get_current_context()["ti"]
        states = instance.get_task_states(dag_id=instance.dag_id, task_ids=names, run_ids=[instance.run_id])
        changed = sorted(name for name, state in states.get(instance.run_id, {}).items() if state == "success")
        if not changed:
            raise AirflowSkipException("no table changed")
        log.info("changed: %s", ", ".join(changed))

    return emit().as_teardown()


def due(dag_id: str, members: Iterable[Table]) -> DeadlineAlert:
    """The alert for a run that takes longer than the smallest maximum age of its tables, counted from when it was queued."""
    after = timedelta(seconds=min(table.max_age_s for table in members))
    callback = SyncCallback(alerts.run_is_late, kwargs={"dag_id": dag_id, "after_s": int(after.total_seconds())})
    return DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=after, callback=callback)


def day_of(start: datetime | None) -> str:
    """The UTC day of a run, from the start of its data interval; AirflowException if it was triggered without a date."""
    if not start:
        raise AirflowException("this run has no day: give a logical date with the trigger, or use `airflow backfill create`")
    return start.date().isoformat()


def _by_spark(settings: Settings, app: str, argv: list[str]) -> Any:
    if settings.batch_by == "submit" and app in SUBMITTED:
        return submitted.run(settings, app, argv)
    call = VERBS[app].parse(argv)  # loads Spark: never while a DAG file is parsed
    with session_of_this_try(settings) as spark:
        return call(spark, settings)


def _run(table: Table, app: str, argv: list[str], can_wait: bool) -> Any:
    settings = Settings.from_environment()
    try:
        wait_for_machines(settings, can_wait=can_wait)
        return VERBS[app].run(settings, argv, partial(_by_spark, settings, app, argv), log.info)
    except AirflowSkipException:
        raise
    except Exception as error:
        log.error("%s failed: %s", table.full_name, alerts.failure(error))
        raise
