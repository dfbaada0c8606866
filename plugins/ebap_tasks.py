"""What the DAGs share: a task a table, run as a thin client of the warm Spark server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, DeadlineAlert, DeadlineReference, SyncCallback, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

import alerts
from lakehouse.contract import Table
from lakehouse.settings import Settings
from vm_tasks import wait_for_machines
from warm_server import session_of_this_try

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

Verb = Callable[["SparkSession", Settings], Any]


def asset(table: Table) -> Asset:
    """The asset that a run of that table's task updates."""
    return Asset(name=table.full_name, uri=f"ebap://{table.layer.value}/{table.name}", group=table.layer.value)


def table_task(table: Table, pool: str, verb: Verb, *, task_id: str = "", is_news: bool = True, can_wait: bool = False) -> Any:
    """The task that runs `verb` for that table; where the result's `changed` is false it is skipped, and its asset gets no event.

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
    def run() -> None:
        result = _run(table, verb, can_wait)
        if not result.changed:
            log.info("%s has nothing new", table.full_name)
            raise AirflowSkipException
        log.info("%s is done: %s", table.full_name, result)

    return run()


def due(dag_id: str, members: Iterable[Table]) -> DeadlineAlert:
    """The alert for a run that takes longer than the first of its tables may be old; one that is never queued has none."""
    after = timedelta(seconds=min(table.allowed_age_s for table in members))
    told = SyncCallback(alerts.run_is_late, kwargs={"dag_id": dag_id, "after_s": int(after.total_seconds())})
    return DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=after, callback=told)


def day() -> date:
    """The UTC day this run is for; raises AirflowException where a run was triggered without a date."""
    start = get_current_context().get("data_interval_start")
    if start is None:
        raise AirflowException("this run has no day: give a logical date with the trigger, or use `airflow backfill create`")
    return date(start.year, start.month, start.day)


def _run(table: Table, verb: Verb, can_wait: bool) -> Any:
    settings = Settings.from_environment()
    try:
        wait_for_machines(settings, can_wait=can_wait)
        with session_of_this_try(settings) as spark:
            return verb(spark, settings)
    except AirflowSkipException:
        raise
    except Exception as error:
        log.error("%s failed: %s", table.full_name, alerts.failure(error))
        raise
