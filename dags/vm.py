"""Machines: started before working hours, stopped after them.

**Does**: `vm_start` starts the machines one by one, those that others depend on first, and is done with each when its services answer.
`vm_stop` stops them the other way round: never while a run is active, and the machine itself lets land end its batch before it goes off.
Airflow's own machine is not theirs: an instance schedule of the cloud switches that, and is the net beneath both.

**Runs**: both look every ten minutes, so that a start or stop that was missed is made up for. A run that needs the machines while they
are off triggers `vm_start`; so may you. `python -m lakehouse hold 2h` keeps (or turns) them on for so long, whatever the clock says.
Without EBAP_GCP_PROJECT there are no machines, and both are paused: set it, then unpause them.

**Safe to rerun?** Yes. A machine that is as it should be is left alone.

**When it fails**: the alert says what to do. A start that fails gives back what it had started; a stop that fails is tried again at
the next look. By hand: `infra/nodes/start` and `infra/nodes/stop`.

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
    """A DAG over the machines; without a project it is there, paused, and says why."""
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
    first = machine_task("is_wanted", "Skips the run unless the machines should run now.", vm_tasks.is_wanted)
    started = [machine_task(n.name, vm_tasks.start.__doc__, partial(vm_tasks.start, node=n)) for n in nodes.in_start_order(SETTINGS)]
    chain(first, *started)
    # A teardown: that it succeeds does not make a success of a run whose start failed.
    started >> machine_task("give_back", vm_tasks.give_back.__doc__, vm_tasks.give_back).as_teardown()

with machines_dag("vm_stop", "Stops the machines after working hours."):
    first = machine_task("may_stop", "Skips the run while the machines should run or are at work.", vm_tasks.may_stop)
    chain(first, *[machine_task(n.name, vm_tasks.stop.__doc__, partial(vm_tasks.stop, node=n)) for n in nodes.in_stop_order(SETTINGS)])
