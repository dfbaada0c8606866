"""Gold: recompute the slices that changes in silver affect.

**Does**: one task per gold table, after the gold tables it reads. `gold` recomputes the slices that changed since the table's
checkpoint; `gold_daily` recomputes the day of its data interval. Small batches run in the task, in DuckDB; large ones run in Spark.

**Runs**: `gold` once after a run of `silver` or `rebuild` that changed a table; `gold_daily` once per UTC day, and for past days by
`python -m infra.airflow backfill create --dag-id gold_daily --from-date 2026-01-01 --to-date 2026-01-31`
(both days included; with `--reprocess-behavior completed` if they ran before).

**Safe to rerun?** Yes, also concurrently: a slice is replaced as a whole, and a table's one-slot pool admits one writer.

**When it fails**: the task's last log lines give the reason and the cure. Tables that read the failed one wait for the next run; the
others continue.

**Owner**: the owner of the task's table.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable

from ebap_tasks import SILVER, day_of, due, table_task
from infra.airflow import pools
from lakehouse import tables

STORED = [table for table in tables.GOLD if not table.is_view]
BY_DAY = [table for table in STORED if table.slice and table.column(table.slice).type == "DATE"]
THE_DAY = "{{ day_of(data_interval_start) }}"
DAILY = CronDataIntervalTimetable("0 0 * * *", timezone="UTC")

for dag_id, schedule, members in (("gold", [SILVER], STORED), ("gold_daily", DAILY, BY_DAY)):
    with DAG(
        dag_id,
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=2),
        deadline=None if schedule is DAILY else due(dag_id, members),  # a backfilled day has no deadline
        user_defined_macros={"day_of": day_of},
        doc_md=__doc__,
        tags=["batch"],
    ):
        days = [THE_DAY] if schedule is DAILY else []
        tasks = {t.name: table_task(t, pools.gold(t), "aggregate", [t.name, *days]) for t in members}
        for table in members:
            tasks[table.name] << [tasks[name] for name in table.inputs if name in tasks]
