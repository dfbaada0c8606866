"""Control of single tables: pause, resume, rebuild from bronze, or read again from the source.

**Does**: `pause` keeps a table from being refined, `resume` lets it go on from where it stood; its changes land in bronze all the while.
`rebuild` makes a table, or the keys named, or those that changed on the days named, anew from bronze, in one commit. `resnapshot` has
the capture read a table's rows again, all of them or those named, beside the changes that it goes on capturing.

**Runs**: when triggered, with a form that asks for the table; the tasks of the other tables are skipped. From a shell:
`python -m lakehouse pause`, `resume`, `rebuild`, `resnapshot`.

**Safe to rerun?** Yes, beside land, silver and gold. What is paused stays paused, what differs in nothing is not written, and a row that
is read twice opens no version.

**When it fails**: the task's last log lines name the reason and the cure. The table is as it was.

**Owner**: each task has its table's owner.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

import control_forms
from ebap_tasks import changed_task, table_task
from infra.airflow import pools
from lakehouse import tables

# By verb: the pool of what it writes: a rebuild takes turns with silver, the others write the platform's own.
ACTIONS = {
    "pause": pools.PLATFORM,
    "resume": pools.PLATFORM,
    "rebuild": pools.SILVER,
    "resnapshot": pools.PLATFORM,
}

for action, pool in ACTIONS.items():
    with DAG(
        action,
        schedule=None,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=1),
        params=control_forms.params(action),
        render_template_as_native_obj=True,
        user_defined_macros={"words": control_forms.words},
        doc_md=__doc__,
        tags=["control"],
    ):
        tasks: list[Any] = []
        for table in tables.SOURCES:
            asked = f"{{{{ words('{action}', '{table.name}', params, dag_run) }}}}"
            tasks.append(table_task(table, pool, action, asked, is_news=action == "rebuild"))
        if action == "rebuild":
            tasks >> changed_task(tables.SOURCES)
