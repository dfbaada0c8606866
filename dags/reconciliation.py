"""Reconcile: compare silver with the source every hour, while both change.

**Does**: one task per captured table. Opens a snapshot of the source, waits until silver has caught up with it, and compares rows by
key range, count and checksum. The commit time up to which a table was last verified is in `silver.reconciliations`, as
`verified_through`. A key whose newer change is in quarantine is reported, and is not a difference.

**Runs**: every hour, one table at a time. Skipped while cloud machines are off by schedule.

**Safe to rerun?** Yes. It only reads, and records its result.

**When it fails**: with keys in the log, the table differs from the source: `python -m lakehouse reconcile TABLE --repair` reads them
again and closes rows that are missing at the source; then find out what was lost, and when. If the log names a stage that lags, no
comparison took place: check that stage.

**Owner**: the owner of the task's table.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from ebap_tasks import table_task
from infra.airflow import pools
from lakehouse import tables

with DAG(
    dag_id="reconcile",
    # Without run_immediately, a DAG created within six minutes after a scheduled time runs at once.
    schedule=CronTriggerTimetable("41 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    doc_md=__doc__,
    tags=["batch"],
):
    for table in tables.SOURCES:
        table_task(table, pools.RECONCILE, "reconcile", [table.name], emits_event=False, can_wait=True)
