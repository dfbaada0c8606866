"""Control of single tables: pause, resume, rebuild from bronze, or resnapshot from the source.

**Does**: `pause` stops a table from being refined, `resume` continues from its checkpoint; its changes land in bronze meanwhile.
`rebuild` recomputes a table from bronze in one commit, or only the given keys, or the keys that changed on the given days.
`resnapshot` reads a table's rows from the source again, all or the selected ones, while the capture of changes continues.

**Runs**: when triggered, with a form to choose the table; the tasks of the other tables are skipped. From a shell:
`python -m lakehouse pause`, `resume`, `rebuild`, `resnapshot`.

**Safe to rerun?** Yes, concurrently with land, silver and gold. A paused table stays paused, unchanged rows are not written, and a row
that is read twice opens no version.

**When it fails**: the task's last log lines give the reason and the cure. The table is unchanged.

**Owner**: the owner of the task's table.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

import control_forms
from ebap_tasks import changed_task, table_task
from infra.airflow import pools
from lakehouse import tables

# The pool of the tables that each command writes: rebuild shares silver's, the others write platform tables.
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
        user_defined_macros={"argv": control_forms.argv},
        doc_md=__doc__,
        tags=["control"],
    ):
        tasks: list[Any] = []
        for table in tables.SOURCES:
            argv = f"{{{{ argv('{action}', '{table.name}', params, dag_run) }}}}"
            tasks.append(table_task(table, pool, action, argv, emits_event=action == "rebuild"))
        if action == "rebuild":
            tasks >> changed_task(tables.SOURCES)
