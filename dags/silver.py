"""Silver: refine captured changes into tables, every minute.

**Does**: one task per captured table. Reads the records appended to bronze since the table's checkpoint and merges them into silver,
small batches in the task's process, large ones on the Spark server; a table without a change is skipped and emits no event. Then
`changed` triggers gold once if any table changed, and `quarantine` fails, without blocking anything, if more records of a table are
in quarantine than EBAP_QUARANTINE_ALERT.

**Runs**: every minute, one run at a time. Missed runs lose nothing: a run reads everything since the checkpoint, not a time window.
Skipped while cloud machines are off by schedule.

**Safe to rerun?** Yes. Writes are idempotent; a retry interrupts the earlier try and finds its commit either complete or absent.

**When it fails**: the task's last log lines give the reason and the cure. The other tables continue. The Spark server restarts by
itself; `make status` shows its state.
If `quarantine` failed, fix the causes it names, then run the command it prints.

**Owner**: the owner of the task's table.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from ebap_tasks import changed_task, due, quarantine_task, table_task
from infra.airflow import pools
from lakehouse import tables

with DAG(
    dag_id="silver",
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    deadline=due("silver", tables.SOURCES),
    doc_md=__doc__,
    tags=["batch"],
):
    refined = [table_task(table, pools.SILVER, "refine", [table.name], can_wait=True) for table in tables.SOURCES]
    refined >> quarantine_task()
    refined >> changed_task(tables.SOURCES)
