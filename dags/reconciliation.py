"""Reconcile: compare silver with the source every hour, while both change.

**Does**: one task a captured table. It opens a snapshot of the source, waits until silver has all that it saw, and compares rows by ranges
of keys, by counts and digests. What a table was last found equal to is in `silver.reconciliations`, as `verified_through`. A key whose
newer change waits in quarantine is named, and no fault.

**Runs**: every hour, one table at a time. While machines in a cloud are off by the clock it is skipped.

**Safe to rerun?** Yes. It only reads, and notes what it found.

**When it fails**: with keys in the log, the table differs from the source: `python -m lakehouse reconcile TABLE --repair` reads them
again, and closes rows that the source has no more; then look for what was lost, and when. Where the log says that a stage lags, the
comparison did not take place: see that stage.

**Owner**: each task has its table's owner.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from ebap_tasks import table_task
from infra.airflow import pools
from lakehouse import tables

with DAG(
    dag_id="reconcile",
    # Without the last word a start within six minutes of that time would begin with a run.
    schedule=CronTriggerTimetable("41 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    doc_md=__doc__,
    tags=["batch"],
):
    for table in tables.SOURCES:
        table_task(table, pools.RECONCILE, "reconcile", [table.name], is_news=False, can_wait=True)
