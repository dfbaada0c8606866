"""Policy for every DAG and task. Runs in Airflow's environment: `.ebap/venv/dev-airflow/bin/python -m pytest tests/policy_airflow`."""

import io
import itertools
import re
import tokenize
from datetime import timedelta

import pytest

pytest.importorskip("airflow", reason="Airflow has an environment of its own; `make check` runs these tests there")

from infra.airflow import pools
from lakehouse import platform_tables, tables
from lakehouse.lake import ddl
from lakehouse.settings import PROJECT, Settings

DAG_FILES = sorted((PROJECT / "dags").glob("*.py"))
STORED = [table for table in tables.GOLD if not table.is_view]
BY_DAY = [table for table in STORED if table.slice and table.column(table.slice).type == "DATE"]
EXPECTED = {"silver": tables.SOURCES, "gold": STORED, "gold_daily": BY_DAY}
COMPACTED = {table.full_name: table for table in ddl.stored_tables()}
CONTROLS = ("pause", "resume", "rebuild", "resnapshot")
LAYER_DAGS = [(dag_id, table) for dag_id, members in EXPECTED.items() for table in members]


@pytest.fixture(scope="module")
def bag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=PROJECT / "dags", collect_dags=True, bundle_path=PROJECT / "dags")


def every_task(bag):
    return [task for dag in bag.dags.values() for task in dag.tasks]


def test_every_file_imports(bag):
    assert bag.import_errors == {}
    assert set(bag.dags) >= set(EXPECTED)


def test_the_tasks_are_the_declared_tables(bag):
    for dag_id, members in EXPECTED.items():
        checks = ["changed", "quarantine"] if dag_id == "silver" else []
        assert sorted(bag.dags[dag_id].task_ids) == sorted([*(table.name for table in members), *checks]), dag_id
    assert sorted(bag.dags["compaction"].task_ids) == sorted(COMPACTED)


def test_every_task_has_an_owner_retries_a_timeout_and_documentation(bag):
    for task in every_task(bag):
        assert task.owner not in ("", "airflow"), task
        assert task.retries >= 1, task
        assert timedelta(0) < task.retry_delay <= timedelta(seconds=30), task
        assert task.execution_timeout and task.execution_timeout <= timedelta(minutes=30), task
        assert task.doc_md, task


def test_the_owner_and_the_asset_are_those_of_the_declaration(bag):
    for dag_id, table in LAYER_DAGS:
        task = bag.dags[dag_id].get_task(table.name)
        assert task.owner == table.owner
        assert [asset.name for asset in task.outlets] == [table.full_name]


def test_compaction_emits_no_event_and_shares_the_pool_of_its_tables_writer(bag):
    for name, table in COMPACTED.items():
        task = bag.dags["compaction"].get_task(name)
        assert (task.outlets, task.owner) == ([], table.owner), name
    for dag_id, table in LAYER_DAGS:
        written = table.full_name if dag_id != "silver" else platform_tables.stored(table).full_name
        assert bag.dags["compaction"].get_task(written).pool == bag.dags[dag_id].get_task(table.name).pool, written


def test_control_requires_a_table_and_a_rebuild_shares_the_pool_of_refine(bag):
    from airflow.sdk.exceptions import ParamValidationError

    for action in CONTROLS:
        dag, table = bag.dags[action], bag.dags[action].params.get_param("table")
        assert not dag.timetable.can_be_scheduled, action
        assert [name for name in dag.task_ids if name != "changed"] == table.schema["enum"] == [source.name for source in tables.SOURCES]
        with pytest.raises(ParamValidationError):
            table.resolve()  # a table must be chosen explicitly
    for table in tables.SOURCES:
        task = bag.dags["rebuild"].get_task(table.name)
        assert task.pool == bag.dags["silver"].get_task(table.name).pool
        assert [asset.name for asset in task.outlets] == [table.full_name], "gold is triggered"
        assert not bag.dags["pause"].get_task(table.name).outlets


@pytest.mark.parametrize(
    ("action", "given", "expected"),
    [
        ("pause", {"reason": "-why"}, ["pause", "T", "--reason=-why", "--by=ann in Airflow"]),
        ("resume", {}, ["resume", "T"]),
        ("rebuild", {"keys": None, "first_day": None, "last_day": None}, ["T"]),
        ("rebuild", {"keys": "[1, 2]"}, ["T", "--keys=[1, 2]"]),
        ("rebuild", {"first_day": "2026-01-01", "last_day": "2026-01-03"}, ["T", "--days", "2026-01-01", "2026-01-03"]),
        ("resnapshot", {"where": "id > 3"}, ["T", "--where=id > 3"]),
    ],
)
def test_a_form_becomes_the_arguments_of_the_command_for_its_table_only(bag, action, given, expected):
    from types import SimpleNamespace

    import control_forms

    run, (table, other) = SimpleNamespace(triggering_user_name="ann"), [table.name for table in tables.SOURCES[:2]]
    task = bag.dags[action].get_task(table)
    context = {"argv": control_forms.argv, "params": {"table": table, **given}, "dag_run": run}
    rendered = task.render_template(task.op_args[0], context, bag.dags[action].get_template_env())
    assert rendered == [table if argument == "T" else argument for argument in expected]
    assert control_forms.argv(action, other, {"table": table, **given}, run) == []


def test_every_dag_has_a_runbook_and_one_run_at_a_time(bag):
    for dag in bag.dags.values():
        for heading in ("Does", "Runs", "Safe to rerun?", "When it fails", "Owner"):
            assert f"**{heading}**" in (dag.doc_md or ""), (dag.dag_id, heading)
        assert dag.max_active_runs == 1, dag.dag_id
        assert dag.catchup is False, dag.dag_id
        assert dag.dagrun_timeout, dag.dag_id


def test_every_pool_is_one_that_init_creates(bag):
    known = pools.slots(Settings())
    assert {task.pool for task in every_task(bag)} <= set(known)


def test_one_writer_of_a_gold_table_across_dags(bag):
    known = pools.slots(Settings())
    for table in STORED:
        writers = {dag.get_task(table.name).pool for dag in (bag.dags["gold"], bag.dags["gold_daily"]) if dag.has_task(table.name)}
        assert len(writers) == 1, table.name
        pool = writers.pop()
        assert known[pool][0] == 1, pool
        assert [task.task_id for task in bag.dags["gold"].tasks if task.pool == pool] == [table.name]


def test_silver_runs_every_minute_and_gold_once_per_run_that_changed_a_table(bag):
    from airflow.sdk import CronDataIntervalTimetable

    assert bag.dags["silver"].timetable.expression == "* * * * *"
    (trigger,) = bag.dags["gold"].timetable.asset_condition.objects
    for dag_id in ("silver", "rebuild"):
        emitting = [task.task_id for task in bag.dags[dag_id].tasks if trigger.name in [asset.name for asset in task.outlets]]
        assert emitting == ["changed"], "one event per run, however many tables changed"
        changed = bag.dags[dag_id].get_task("changed")
        assert changed.upstream_task_ids == {table.name for table in tables.SOURCES}
        # As a teardown it runs although tables failed, and does not affect the run's state.
        assert changed.is_teardown
    daily = bag.dags["gold_daily"].timetable
    assert isinstance(daily, CronDataIntervalTimetable)
    assert daily.expression == "0 0 * * *"


def test_a_gold_table_waits_for_the_gold_tables_it_reads_and_runs_if_those_are_skipped(bag):
    for dag_id in ("gold", "gold_daily"):
        dag = bag.dags[dag_id]
        for task in dag.tasks:
            inputs = set(tables.gold(task.task_id).inputs) & set(dag.task_ids)
            assert task.upstream_task_ids == inputs, (dag_id, task.task_id)
            assert task.trigger_rule == "none_failed"


def test_silver_tables_do_not_wait_for_each_other_and_the_check_waits_for_all(bag):
    dag = bag.dags["silver"]
    assert all(not dag.get_task(table.name).upstream_task_ids for table in tables.SOURCES)
    check = dag.get_task("quarantine")
    assert check.upstream_task_ids == {table.name for table in tables.SOURCES}
    # As a teardown it runs although tables failed, and does not affect the run's state.
    assert check.is_teardown
    assert not check.on_failure_fail_dagrun


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.name)
def test_a_dag_file_contains_no_table_name(path):
    names = {table.name for table in (*tables.SOURCES, *tables.GOLD)}
    tokens = list(tokenize.generate_tokens(io.StringIO(path.read_text()).readline))
    written = {word for token in tokens if token.type in (tokenize.STRING, tokenize.NAME) for word in re.findall(r"\w+", token.string)}
    assert not names & written


@pytest.mark.parametrize("path", DAG_FILES, ids=lambda path: path.name)
def test_a_dag_file_is_short(path):
    assert len(path.read_text().splitlines()) <= 60


def test_parsing_takes_less_than_two_seconds_and_loads_no_engine(bag):
    import subprocess
    import sys

    code = (
        "import sys, time; import airflow.sdk, airflow.providers.standard.decorators.python\n"
        "start = time.process_time(); import silver, gold, control, vm\n"
        "print(time.process_time() - start, any(name in sys.modules for name in ('pyspark', 'duckdb', 'pyarrow')))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=PROJECT / "dags", env={"HOME": "/nonexistent"}, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    seconds, has_spark = shown.stdout.split()[-2:]
    # CPU seconds, so that other load on the machine does not count.
    assert float(seconds) < 2, f"parsing took {seconds} CPU seconds"
    assert has_spark == "False"


@pytest.mark.parametrize(("project", "is_paused"), [("", True), ("shop-1", False)])
def test_the_machines_dags_are_paused_without_a_project_and_give_the_reason(monkeypatch, project, is_paused):
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("EBAP_GCP_PROJECT", project)
    dags = DagBag(dag_folder=PROJECT / "dags" / "vm.py", bundle_path=PROJECT / "dags").dags
    assert dags.keys() == {"vm_start", "vm_stop"}
    for dag in dags.values():
        assert dag.is_paused_upon_creation is is_paused
        assert ("EBAP_GCP_PROJECT is empty" in dag.description) is is_paused


def test_machines_start_in_order_and_stop_in_reverse(bag):
    from infra import nodes

    names = [node.name for node in nodes.in_start_order(Settings())]
    for dag_id, expected in (("vm_start", ["is_wanted", *names]), ("vm_stop", ["may_stop", *names[::-1]])):
        dag = bag.dags[dag_id]
        for before, after in itertools.pairwise(expected):
            assert before in dag.get_task(after).upstream_task_ids, (dag_id, after)
    assert bag.dags["vm_start"].get_task("give_back").is_teardown
