"""Compaction: merge small files into large ones, and delete files that no reader needs any more.

**Does**: one task per stored table. Merges small files. Once a day, deletes files that no version of the last `retention_h` hours needs;
none while a run that reads the table is further behind than that. Where `EBAP_BRONZE_KEEP_DAYS` is set, also deletes older days of
bronze that every table has refined. Tables of the live half are merged by Trino, and keep their snapshots for a day. The results are in the
task's log, those of Delta tables in `silver.compactions` too.

**Runs**: every hour, one run at a time. A missed run loses nothing: the next one does its work.

**Safe to rerun?** Yes, concurrently with land, silver, gold and queries: a reader keeps the version it started with, and a merge that
conflicts with another writer is retried.

**When it fails**: the task's last log lines give the reason and the cure. The table is unchanged, only slower to read.

**Owner**: the owner of the task's table.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from ebap_tasks import table_task
from infra.airflow import pools
from lakehouse import tables
from lakehouse.contract import Kind, Table
from lakehouse.lake import ddl
from lakehouse.settings import Settings


def pool(table: Table) -> str:
    """The pool of the table's other writer, so that the two never run at once; appends to bronze cause no conflict."""
    if table.kind is Kind.GOLD:
        return pools.gold(table)
    return pools.SILVER if table.kind is Kind.CHANGES else pools.PLATFORM


with DAG(
    dag_id="compaction",
    # Without run_immediately, a DAG created within six minutes after a scheduled time runs at once.
    schedule=CronTriggerTimetable("23 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    doc_md=__doc__,
    tags=["batch"],
):
    for table in tables.LIVE if Settings.from_environment().is_live else ():
        table_task(table, pools.PLATFORM, "optimize", [table.name], task_id=table.full_name, emits_event=False, can_wait=True)
    for table in ddl.stored_tables():
        table_task(table, pool(table), "compact", [table.full_name], task_id=table.full_name, emits_event=False, can_wait=True)
