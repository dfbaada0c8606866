"""Control of single tables on the running platform: pause, resume, rebuilds under load, and resnapshots."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from lakehouse import tables
from lakehouse.contract import History, Table
from lakehouse.spark import session
from tests.e2e import state_oracle
from tests.e2e.airflow_api import Airflow
from tests.e2e.conftest import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1800)]

CHANGE_A_USER = "UPDATE shop.users SET full_name = full_name || '.' WHERE user_id = (SELECT min(user_id) FROM shop.users)"
RATE = 30


@pytest.fixture(scope="module")
def airflow(platform: Platform) -> Airflow:
    """Airflow's API, after all earlier changes have arrived in gold."""
    platform.run("generator", "pause")
    platform.catch_up()
    return Airflow(platform.settings)


def control(airflow: Airflow, action: str, table: str, **answers: Any) -> None:
    """Trigger that action with its form and wait for its end: the table's task succeeded, the others were skipped."""
    body = {"logical_date": None, "conf": {"table": table, **answers}}
    run_id = airflow.call("POST", f"/dags/{action}/dagRuns", json=body)["dag_run_id"]
    assert airflow.end_of(action, run_id, 600) == "success"
    assert airflow.tasks(action, run_id) == {each.name: "success" if each.name == table else "skipped" for each in tables.SOURCES}


def operations(platform: Platform) -> int:
    return int(json.loads(platform.run("generator", "status"))["total_ops"])


def plant(platform: Platform, table: Table, column: str, value: str, condition: str = "true") -> None:
    """Corrupt the stored changes; retried on conflict with a concurrent refine."""
    statement = f"UPDATE silver.{table.name}_changes SET {column} = {value} WHERE _kind <> 'delete' AND {condition}"
    until(lambda: platform.sql(statement) is not None, 120, f"a fault in {table.name}")


def wrong(platform: Platform) -> list[str]:
    """Differences between silver and the source, in rows and in versions."""
    found = []
    spark = session.connect(platform.settings)
    try:
        with platform.postgres() as cursor:
            for table in tables.SOURCES:
                rows = spark.read.table(table.full_name).collect()
                state = state_oracle.differences(state_oracle.expected_state(cursor, table), state_oracle.actual_state(rows, table))
                found += [f"{table.name}: {line}" for line in state]
                if table.history is History.FULL:
                    versions = state_oracle.actual_history(spark.read.table(f"{table.full_name}_history").collect(), table)
                    lines = state_oracle.differences(state_oracle.expected_history(cursor, table), versions)
                    found += [f"{table.name}_history: {line}" for line in lines]
    finally:
        spark.stop()
    return found


def test_a_paused_table_is_skipped_and_reported_until_it_is_resumed(platform: Platform, airflow: Airflow) -> None:
    control(airflow, "pause", "users", reason="looking at it")
    assert "users is paused since" in platform.run("lakehouse", "pause", "users")
    with platform.postgres() as cursor:
        cursor.execute(CHANGE_A_USER)
    with pytest.raises(AssertionError, match=r"refined lags: silver\.users is paused since .* by admin in Airflow \(looking at it\)"):
        platform.catch_up(120)
    run_id = airflow.trigger("silver")
    assert airflow.end_of("silver", run_id) == "success"
    assert airflow.tasks("silver", run_id)["users"] == "skipped"
    assert "python -m lakehouse resume users" in airflow.log("silver", run_id, "users", 1)
    shown = {entry["name"]: entry["paused"] for entry in platform.status()["tables"]}
    assert "looking at it" in shown["silver.users"]
    assert shown["silver.orders"] is None
    platform.run("lakehouse", "resume", "users")
    platform.catch_up()
    assert not wrong(platform)


def test_tables_are_rebuilt_under_load(platform: Platform, airflow: Airflow) -> None:
    users, products, orders, items = (tables.source(name) for name in ("users", "products", "orders", "order_items"))
    platform.run("generator", "rate", str(RATE))
    platform.run("generator", "resume")
    try:
        ((first,), (last,)) = platform.sql("SELECT user_id FROM silver.users ORDER BY user_id LIMIT 2")
        for table, column, value, condition in (
            (users, "full_name", "'planted'", f"user_id IN ({first}, {last})"),
            (products, "name", "'planted'", "true"),
            (orders, "status", "'planted'", "true"),
            (items, "quantity", "quantity + 1", "true"),
        ):
            plant(platform, table, column, value, condition)
        before = operations(platform)
        print(platform.run("lakehouse", "rebuild", "users", "--keys", str(first), str(last)))
        print(platform.run("lakehouse", "rebuild", "order_items", "--days", "2020-01-01", f"{datetime.now(UTC):%Y-%m-%d}"))
        print(platform.run("lakehouse", "rebuild", "orders"))
        control(airflow, "rebuild", "products")
        assert operations(platform) > before + RATE, "the shop kept writing meanwhile"
    finally:
        platform.run("generator", "pause")
    print(platform.catch_up().strip())
    assert not wrong(platform)


def test_a_planted_fault_is_detected(platform: Platform) -> None:
    plant(platform, tables.source("products"), "name", "'planted'", "_last")
    assert wrong(platform)
    print(platform.run("lakehouse", "rebuild", "products"))
    assert not wrong(platform)


def test_rows_are_read_again_from_the_source_and_open_no_version(platform: Platform, airflow: Airflow) -> None:
    reads = "SELECT source_table, count(*) FROM bronze.changes WHERE op = 'r' GROUP BY 1"
    with platform.postgres() as cursor:
        cursor.execute("SELECT user_id FROM shop.users ORDER BY user_id LIMIT 3")
        chosen = [key for (key,) in cursor.fetchall()]
        cursor.execute("SELECT order_id, line_no FROM shop.order_items ORDER BY 1, 2 LIMIT 1")
        item = json.dumps(dict(zip(("order_id", "line_no"), cursor.fetchone(), strict=True)))
        cursor.execute("SELECT count(*) FROM shop.products")
        ((products,),) = cursor.fetchall()
    before = Counter(dict(platform.sql(reads)))  # none for a table that was empty at the first start
    for args in (
        ["users", "--where", f"user_id <= {chosen[-1]}"],
        ["users", "--keys", *map(str, chosen)],
        ["order_items", "--keys", item],
    ):
        assert "has_ended=True" in platform.run("lakehouse", "resnapshot", *args, "--wait", "120")
    control(airflow, "resnapshot", "products")
    platform.catch_up()
    until(lambda: dict(platform.sql(reads)).get("products") == before["products"] + products, 120, "the reads of products")
    platform.catch_up()
    now = Counter(dict(platform.sql(reads)))
    assert {table.name: now[table.name] - before[table.name] for table in tables.SOURCES} == {
        "users": 6,
        "products": products,
        "orders": 0,
        "order_items": 1,
    }
    assert not wrong(platform)


def test_a_resnapshot_repairs_a_row_that_differs_from_the_source(platform: Platform) -> None:
    ((key,),) = platform.sql("SELECT min(user_id) FROM silver.users")
    plant(platform, tables.source("users"), "full_name", "'missed'", f"_last AND user_id = {key}")
    platform.run("lakehouse", "resnapshot", "users", "--keys", str(key), "--wait", "120")
    platform.catch_up()
    ((name,),) = platform.sql(f"SELECT full_name FROM silver.users WHERE user_id = {key}")
    assert name != "missed"
    # Bronze does not contain the fault, so a rebuild removes the version that the resnapshot closed.
    platform.run("lakehouse", "rebuild", "users", "--keys", str(key))
    platform.catch_up()
    assert not wrong(platform)


def test_a_condition_that_the_source_refuses_is_reported(platform: Platform) -> None:
    with pytest.raises(AssertionError, match=r"the source refuses the condition 'nobody = 1' of users: column"):
        platform.run("lakehouse", "resnapshot", "users", "--where", "nobody = 1")
