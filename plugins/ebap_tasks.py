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

# Updated once a run that changed any table of silver; gold is scheduled on it.
SILVER = Asset(name="silver", uri="ebap://silver", group="silver")


def asset(table: Table) -> Asset:
    """The asset that a run of that table's task updates."""
    return Asset(name=table.full_name, uri=f"ebap://{table.layer.value}/{table.name}", group=table.layer.value)


def table_task(table: Table, pool: str, app: str, words: Any, *, task_id: str = "", is_news: bool = True, can_wait: bool = False) -> Any:
    """The task that runs the verb `app` with these words, or with the list that a template of them gives; no words, nothing is run.

    Where the result's `changed` is false the task is skipped, and its asset gets no event.

    It is named after the table, unless `task_id` says otherwise. What is no news changes files, not rows: it never has an event.
    `can_wait`: a later run makes up for this one, so that by the clock it does not start machines that are off.
    """

    @task(
        task_id=task_id or table.name,
        owner=table.owner,
        pool=pool,
        outlets=[asset(table)] if is_news else [],
        doc_md=f"{table.doc}\n\nGrain: {table.grain}.",
        # Short: while a table tries again, the next run of all others waits.
        retries=2,
        retry_delay=timedelta(seconds=5),
        # A whole table is rebuilt in minutes; what takes longer hangs.
        execution_timeout=timedelta(minutes=15),
        # A table whose upstream table had nothing new still has work of its own; one whose upstream failed would read half the truth.
        trigger_rule="none_failed",
        do_xcom_push=False,
        on_failure_callback=partial(alerts.task_gave_up, table.full_name),
    )
    def run(words: list[str]) -> None:
        if not words:
            raise AirflowSkipException(f"{table.full_name} was not asked for")
        result = _run(table, app, words, can_wait)
        if not result.changed:
            log.info("%s is as it was: %s", table.full_name, result)
            raise AirflowSkipException
        log.info("%s is done: %s", table.full_name, result)

    # Given as an argument: what stands in them as a template is filled in.
    return run(words)


def quarantine_task() -> Any:
    """The check that fails where too many records wait in quarantine. As a teardown: it always runs, and stops nothing."""

    @task(
        task_id=platform_tables.QUARANTINE.name,
        owner=platform_tables.QUARANTINE.owner,
        pool=pools.PLATFORM,
        doc_md="Fails where more records of a table wait in quarantine than EBAP_QUARANTINE_ALERT; the tables go on.",
        retries=1,
        retry_delay=timedelta(seconds=5),
        execution_timeout=timedelta(minutes=5),
        do_xcom_push=False,
        on_failure_callback=partial(alerts.task_gave_up, platform_tables.QUARANTINE.full_name),
    )
    def check() -> None:
        settings = Settings.from_environment()
        wait_for_machines(settings, can_wait=True)
        from lakehouse.lake import quarantine_counts  # loads DuckDB: never while a DAG file is parsed
        from lakehouse.lake.lake import Lake

        log.info("%s records wait in quarantine", quarantine_counts.check(Lake(settings)))

    return check().as_teardown()


def changed_task(members: Iterable[Table]) -> Any:
    """The last task of a run: emits one event of asset `silver` where any of these tables changed, and is skipped where none did.

    One event a run, so that gold runs once and not once a table. As a teardown: it runs whatever became of the tables, and a run is as
    red as they are.
    """
    names = [table.name for table in members]

    @task(
        task_id="changed",
        owner=platform_tables.QUARANTINE.owner,
        pool=pools.PLATFORM,
        outlets=[SILVER],
        doc_md="Starts `gold` once, where any table of this run changed.",
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
    """The alert for a run that takes longer than the first of its tables may be old; one that is never queued has none."""
    after = timedelta(seconds=min(table.max_age_s for table in members))
    told = SyncCallback(alerts.run_is_late, kwargs={"dag_id": dag_id, "after_s": int(after.total_seconds())})
    return DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=after, callback=told)


def day_of(start: datetime | None) -> str:
    """The UTC day that a run is for, from the start of its interval; AirflowException where it was triggered without a date."""
    if not start:
        raise AirflowException("this run has no day: give a logical date with the trigger, or use `airflow backfill create`")
    return start.date().isoformat()


def _by_spark(settings: Settings, app: str, words: list[str]) -> Any:
    if settings.batch_by == "submit" and app in SUBMITTED:
        return submitted.run(settings, app, words)
    call = VERBS[app].parse(words)  # loads Spark: never while a DAG file is parsed
    with session_of_this_try(settings) as spark:
        return call(spark, settings)


def _run(table: Table, app: str, words: list[str], can_wait: bool) -> Any:
    settings = Settings.from_environment()
    try:
        wait_for_machines(settings, can_wait=can_wait)
        return VERBS[app].run(settings, words, partial(_by_spark, settings, app, words), log.info)
    except AirflowSkipException:
        raise
    except Exception as error:
        log.error("%s failed: %s", table.full_name, alerts.failure(error))
        raise
