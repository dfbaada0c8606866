"""Spark sessions on the warm server, one per try of a task and shared with no other.

The session id is derived from DAG, run, task and try. A later try first ends the sessions of the earlier ones: their running statements
are interrupted, and a try that was only suspended finds its session closed when it resumes, so two tries never write concurrently.
A closed session cannot be reopened, so each try has its own.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context

from lakehouse import wait
from lakehouse.settings import Settings
from lakehouse.spark import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "tasks.ebap")
_END_WITHIN_S = 30


def session_id(dag_id: str, run_id: str, task_id: str, map_index: int, try_number: int) -> str:
    """The id of the Spark session of that try, the same in every process."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join((dag_id, run_id, task_id, str(map_index), str(try_number)))))


@contextmanager
def session_of_this_try(settings: Settings) -> Iterator[SparkSession]:
    """The session of the running task's try, opened after those of its earlier tries are ended; released at the end."""
    instance = get_current_context()["ti"]
    map_index = -1 if instance.map_index is None else instance.map_index
    for number in range(1, instance.try_number):
        end_session(settings, session_id(instance.dag_id, instance.run_id, instance.task_id, map_index, number))
    spark = session.connect(settings, session_id(instance.dag_id, instance.run_id, instance.task_id, map_index, instance.try_number))
    try:
        yield spark
    finally:
        # A session that is not stopped holds its memory in the server for another ten minutes.
        spark.stop()


def end_session(settings: Settings, identifier: str) -> None:
    """Interrupt that session's statements and close it permanently, even if it was never opened; raises after 30 s without success."""
    from pyspark.errors import PySparkException
    from pyspark.sql.connect.client import SparkConnectClient

    # The bare client: a second SparkSession object would, when garbage-collected, wait forever for a thread of the first.
    client = SparkConnectClient(f"{settings.spark_remote}/;session_id={identifier}")
    try:
        for elapsed_s in wait.looks(_END_WITHIN_S, every_s=0.2):
            try:
                interrupted = client.interrupt_all()
                if interrupted:
                    log.warning("interrupted statements of an earlier try: %s", ", ".join(interrupted))
                client.release_session()
                return
            except PySparkException as error:
                # The usual case: the earlier try closed its session itself.
                if "SESSION_CLOSED" in str(error):
                    return
                # A statement interrupted before it started cannot be closed at once.
                if elapsed_s >= _END_WITHIN_S:
                    raise
    finally:
        client.close()
