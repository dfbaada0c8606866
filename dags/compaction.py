"""Compaction: merge small files into large ones, and delete files that no reader needs any more.

**Does**: one task a stored table. Small files are joined. Once a day, files are deleted that no version of the table's last `retention_h`
hours needs; none while a run has waited for longer that has yet to read what was written since its mark. Where
`EBAP_BRONZE_KEEP_DAYS` is set, older days of bronze go, as far as every table has refined them. What was found and left is in the
task's log and in `silver.compactions`.

**Runs**: every hour, one run at a time. A missed run costs nothing but time: the next one takes up what is left.

**Safe to rerun?** Yes, beside land, silver, gold and people's queries: a reader keeps the version it began with, and where a writer
changed the same files first, the joining is tried again.

**When it fails**: the task's last log lines name the reason and the cure. Tables stay as they were, only slower to read.

**Owner**: each task has its table's owner.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from ebap_tasks import table_task
from infra.airflow import pools
from lakehouse.contract import Kind, Table
from lakehouse.lake import ddl


def pool(table: Table) -> str:
    """The pool of the table's other writer, so that the two do not meet; bronze's appends meet nobody."""
    if table.kind is Kind.GOLD:
        return pools.gold(table)
    return pools.SILVER if table.kind is Kind.CHANGES else pools.PLATFORM


with DAG(
    dag_id="compaction",
    # Without the last word a start within six minutes of that time would begin with a run.
    schedule=CronTriggerTimetable("23 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    doc_md=__doc__,
    tags=["batch"],
):
    for table in ddl.stored_tables():
        table_task(table, pool(table), "compact", [table.full_name], task_id=table.full_name, is_news=False, can_wait=True)
