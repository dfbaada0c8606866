"""Silver: refine what was captured into tables, every minute.

**Does**: one task a captured table. It takes what was appended to bronze since the table's checkpoint and writes it into silver, in its
own process where that is little and by the Spark server where it is much; a table without a change is skipped and emits no event. Then
`changed` starts gold, once, where any table changed, and `quarantine` looks at what waits: it fails, and holds nothing up, where more
records of a table wait than EBAP_QUARANTINE_ALERT.

**Runs**: every minute, one run at a time. A night without runs loses nothing: a run takes all there is since the mark,
not a window of time. While machines in a cloud are off by the clock it is skipped.

**Safe to rerun?** Yes. Each write repeats to nothing; a second try interrupts the first and finds it done or undone.

**When it fails**: the task's last log lines name the reason and the cure. The other tables go on. A Spark server that is away comes
back by itself, `make status` shows it.
Where `quarantine` failed, mend what its reasons name, then run the command that it tells.

**Owner**: each task has its table's owner.
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
