"""Machines: started before working hours, stopped after them.

**Does**: `vm_start` starts the machines one at a time in dependency order and waits until each one's services respond. `vm_stop`
stops them in reverse order: never while a run is active, and only after land has completed its batch. Airflow's own machine is
controlled by an instance schedule of the cloud, which also acts as the fallback for both DAGs.

**Runs**: both check every ten minutes, so that a missed start or stop is made up for. A run that needs the machines while they are off
triggers `vm_start`; it can also be triggered by hand. `python -m lakehouse hold 2h` keeps them on (or starts them) for that long,
outside working hours too. Without EBAP_GCP_PROJECT there are no machines and both DAGs are paused: set it, then unpause them.

**Safe to rerun?** Yes. A machine already in the desired state is left unchanged.

**When it fails**: the alert gives the next step. A failed start stops the machines it had started; a failed stop is retried at the
next check. By hand: `infra/nodes/start` and `infra/nodes/stop`.

**Owner**: platform
"""

from datetime import timedelta
from functools import partial

from airflow.sdk import DAG, CronTriggerTimetable, chain

import vm_tasks
from infra import nodes
from infra.nodes import plan
from lakehouse.settings import Settings
from vm_tasks import machine_task

SETTINGS = Settings.from_environment()


def machines_dag(dag_id: str, purpose: str) -> DAG:
    """A DAG over the machines; without a project it is created paused, with the reason in its description."""
    return DAG(
        dag_id,
        description=purpose if SETTINGS.gcp_project else f"{purpose} Paused: {plan.NO_PROJECT}.",
        schedule=CronTriggerTimetable(f"*/{plan.EVERY_MINUTES} * * * *", timezone="UTC"),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(hours=2),
        is_paused_upon_creation=not SETTINGS.gcp_project,
        doc_md=__doc__,
        tags=["machines"],
    )


with machines_dag("vm_start", "Starts the machines before working hours."):
    first = machine_task("is_wanted", "Skips the run unless the machines should be on now.", vm_tasks.is_wanted)
    started = [machine_task(n.name, vm_tasks.start.__doc__, partial(vm_tasks.start, node=n)) for n in nodes.in_start_order(SETTINGS)]
    chain(first, *started)
    # A teardown: its success does not mark a run as successful whose start failed.
    started >> machine_task("give_back", vm_tasks.give_back.__doc__, vm_tasks.give_back).as_teardown()

with machines_dag("vm_stop", "Stops the machines after working hours."):
    first = machine_task("may_stop", "Skips the run while the machines should be on or are in use.", vm_tasks.may_stop)
    chain(first, *[machine_task(n.name, vm_tasks.stop.__doc__, partial(vm_tasks.stop, node=n)) for n in nodes.in_stop_order(SETTINGS)])
