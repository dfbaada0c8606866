"""Silver: what was captured becomes tables, every two minutes.

**Does**: one task a captured table. It takes what was appended to bronze since the table's mark and merges it into silver; a table
without news is skipped and tells nobody. Then `quarantine` looks at what waits: it fails, and holds nothing up, where more records of
a table do than EBAP_QUARANTINE_ALERT.

**Runs**: every two minutes, one run at a time. A night without runs loses nothing: a run takes all there is since the mark,
not a window of time. While machines in a cloud are off by the clock it is skipped.

**Safe to rerun?** Yes. Each write repeats to nothing; a second try interrupts the first and finds it done or undone.

**When it fails**: the task's last log lines name the reason and the cure. The other tables go on. A Spark server that is away comes
back by itself, `make status` shows it.
Where `quarantine` failed, mend what its reasons name, then run the command that it tells.

**Owner**: each task has its table's owner.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from ebap_tasks import due, quarantine_task, table_task
from infra.airflow import pools
from lakehouse import tables

with DAG(
    dag_id="silver",
    schedule=CronTriggerTimetable("*/2 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    deadline=due("silver", tables.SOURCES),
    doc_md=__doc__,
    tags=["batch"],
):
    refined = [table_task(table, pools.SILVER, "refine", [table.name], can_wait=True) for table in tables.SOURCES]
    refined >> quarantine_task()
