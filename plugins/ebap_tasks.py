"""What the DAGs share: a task a table, run as a thin client of the warm Spark server.

A try of a task has a Spark session of its own, whose id follows from DAG, run, task and try. A later try first closes the sessions
of the earlier ones: what they left running is interrupted, and a try that was only frozen finds its session closed when it wakes,
so two tries never write side by side.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from lakehouse.contract import Table
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_SESSIONS = uuid.uuid5(uuid.NAMESPACE_DNS, "tasks.ebap")
_DOWN = ("UNAVAILABLE", "Connection refused", "failed to connect")

Verb = Callable[["SparkSession", Settings], Any]


def asset(table: Table) -> Asset:
    """The asset that a run of that table's task updates."""
    return Asset(name=table.full_name, uri=f"ebap://{table.layer.value}/{table.name}", group=table.layer.value)


def table_task(table: Table, pool: str, verb: Verb) -> Any:
    """The task that runs `verb` for that table; its result says by `changed` whether the table did, otherwise the task is skipped."""

    @task(
        task_id=table.name,
        owner=table.owner,
        pool=pool,
        outlets=[asset(table)],
        doc_md=f"{table.doc}\n\nGrain: {table.grain}.",
        # Short: while a table tries again, the next run of all others waits.
        retries=2,
        retry_delay=timedelta(seconds=5),
        # A whole table is rebuilt in minutes; what takes longer hangs.
        execution_timeout=timedelta(minutes=15),
        # A table whose upstream table had nothing new still has work of its own; one whose upstream failed would read half the truth.
        trigger_rule="none_failed",
        do_xcom_push=False,
    )
    def run() -> None:
        result = _run(table, verb)
        if not result.changed:
            raise AirflowSkipException(f"{table.full_name} has nothing new")
        log.info("%s is done: %s", table.full_name, result)

    return run()


def day() -> date:
    """The UTC day this run is for; raises AirflowException where a run was triggered without a date."""
    start = get_current_context().get("data_interval_start")
    if start is None:
        raise AirflowException("this run has no day: give a logical date with the trigger, or use `airflow backfill create`")
    return start.date()


def session_id(dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int) -> str:
    """The id of the Spark session of that try: the same wherever it is asked for."""
    return str(uuid.uuid5(_SESSIONS, "\n".join((dag_id, run_id, task_id, str(map_index), str(try_number)))))


def _run(table: Table, verb: Verb) -> Any:
    try:
        settings = Settings.from_environment()
        with _session(settings) as spark:
            return verb(spark, settings)
    except Exception as error:
        log.error("%s failed: %s. Next: %s", table.full_name, _first_line(error), _next_step(error))
        raise


@contextmanager
def _session(settings: Settings) -> Iterator[SparkSession]:
    from lakehouse import session

    instance = get_current_context()["ti"]
    names = (instance.dag_id, instance.run_id, instance.task_id, -1 if instance.map_index is None else instance.map_index)
    for earlier in range(1, instance.try_number):
        _close(session.connect(settings, session_id(*names, earlier)))
    spark = session.connect(settings, session_id(*names, instance.try_number))
    try:
        yield spark
    finally:
        # A session that is only left behind holds its memory in the server for another ten minutes.
        _close(spark)


def _close(spark: SparkSession) -> None:
    from pyspark.errors import PySparkException

    try:
        interrupted = spark.interruptAll()
        if interrupted:
            log.warning("interrupted what was left running: %s", ", ".join(interrupted))
    except PySparkException as error:
        # The usual end of a try: it closed its session itself.
        if "SESSION_CLOSED" not in str(error):
            raise
    finally:
        spark.stop()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _next_step(error: Exception) -> str:
    if any(sign in str(error) for sign in _DOWN):
        return "the warm Spark server does not answer: `make status`, then `make restart S=spark`; the next try goes by itself"
    return "cure what the line names; the next run takes the table up where it stands, nothing is lost in between"
