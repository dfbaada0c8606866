"""Airflow on the running platform: task states, isolation of failures, backfills, and recovery from kill -9."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from lakehouse import tables
from tests.e2e.airflow_api import Airflow
from tests.e2e.conftest import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

CHANGE_A_USER = """
    UPDATE shop.users SET full_name = full_name || '.', updated_at = now() WHERE user_id = (SELECT min(user_id) FROM shop.users)
"""
CHANGE_A_PRODUCT = """
    UPDATE shop.products SET stock = stock + 1, updated_at = now() WHERE product_id = (SELECT min(product_id) FROM shop.products)
"""
FINAL = {"success", "skipped"}
FIRST_DAY = date(2025, 3, 3)
DAYS = [FIRST_DAY + timedelta(days=number) for number in range(3)]


@pytest.fixture(scope="module")
def airflow(platform: Platform) -> Airflow:
    """Airflow's API, after all earlier changes have arrived in gold."""
    platform.run("generator", "pause")
    platform.catch_up()
    return Airflow(platform.settings)


def change(platform: Platform, table: str, statement: str) -> None:
    """Change one row of the source and wait until the change has landed in bronze."""
    landed = f"SELECT count(*) FROM bronze.changes WHERE source_table = '{table}'"
    before = platform.sql(landed)
    with platform.postgres() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount == 1, f"{cursor.rowcount} rows changed by: {statement}"
    until(lambda: platform.sql(landed) != before, 120, f"the change of {table} to land")


def outcomes(airflow: Airflow, began: datetime) -> Counter[tuple[str, str | None]]:
    """How often each table ended in each state, over all runs of silver since then."""
    counted: Counter[tuple[str, str | None]] = Counter()
    for run_id in airflow.runs_since("silver", began):
        airflow.end_of("silver", run_id)
        counted.update(airflow.tasks("silver", run_id).items())
    return counted


def test_every_dag_exists_and_is_not_paused(airflow: Airflow) -> None:
    shown = {dag["dag_id"]: dag["is_paused"] for dag in airflow.call("GET", "/dags")["dags"]}
    assert shown.keys() >= {"silver", "gold", "gold_daily"}
    # Without cloud machines their DAGs are paused.
    assert {dag_id for dag_id, is_paused in shown.items() if is_paused} == {"vm_start", "vm_stop"}, shown
    assert airflow.call("GET", "/importErrors")["import_errors"] == []


def test_a_run_skips_unchanged_tables_and_a_changed_one_triggers_gold_once(platform: Platform, airflow: Airflow) -> None:
    quiet = airflow.trigger("silver")
    assert airflow.end_of("silver", quiet) == "success"
    unchanged = {table.name: "skipped" for table in tables.SOURCES} | {"changed": "skipped"}
    assert airflow.tasks("silver", quiet) == unchanged | {"quarantine": "success"}

    began = datetime.now(UTC)
    change(platform, "users", CHANGE_A_USER)
    assert airflow.end_of("silver", airflow.trigger("silver")) == "success"
    # A scheduled run may have processed the change before ours: together they process it once.
    counted = outcomes(airflow, began)
    assert counted["users", "success"] == 1
    assert {task for (task, state), _ in counted.items() if state == "success"} == {"users", "changed", "quarantine"}
    assert sorted(airflow.events_since("silver", began)) == ["silver", "silver.users"]

    (run_id,) = until(lambda: airflow.runs_since("gold", began), 120, "a run of gold after the change")
    assert airflow.end_of("gold", run_id) == "success"
    assert airflow.tasks("gold", run_id).keys() == {table.name for table in tables.GOLD if not table.is_view}


def test_a_failed_table_reports_the_reason_and_does_not_block_others(platform: Platform, airflow: Airflow) -> None:
    began = datetime.now(UTC)
    change(platform, "users", CHANGE_A_USER)
    with platform.broken_checkpoint("products"):
        run_id = airflow.trigger("silver")
        assert airflow.end_of("silver", run_id) == "failed"
    states = airflow.tasks("silver", run_id)
    assert states.pop("products") == "failed"
    assert set(states.values()) <= FINAL
    assert outcomes(airflow, began)["users", "success"] == 1

    tries = airflow.tries("silver", run_id, "products")
    assert tries == 3
    log = airflow.log("silver", run_id, "products", tries)
    line = re.search(r"^.*silver\.products failed: .*$", log, re.MULTILINE)
    assert line, log
    assert "rebuild products" in line[0]
    assert "Next:" in line[0]


def test_a_repaired_table_continues_from_its_checkpoint(platform: Platform, airflow: Airflow) -> None:
    began = datetime.now(UTC)
    change(platform, "products", CHANGE_A_PRODUCT)
    assert airflow.end_of("silver", airflow.trigger("silver")) == "success"
    assert outcomes(airflow, began)["products", "success"] == 1


@pytest.fixture(scope="module")
def three_days(platform: Platform, airflow: Airflow) -> list[tuple[Any, ...]]:
    """Sales on three past days, in gold; returns their rows of daily_sales."""
    with platform.postgres() as cursor:
        for number, day in enumerate(DAYS):
            cursor.execute(
                "INSERT INTO shop.orders (user_id, status, ordered_at, total_usd) SELECT min(user_id), 'paid', %s, %s FROM shop.users "
                "RETURNING order_id",
                (datetime(day.year, day.month, day.day, 12, tzinfo=UTC), 10 + number),
            )
            cursor.execute(
                "INSERT INTO shop.order_items (order_id, line_no, product_id, quantity, unit_price_usd) "
                "SELECT %s, 1, min(product_id), 1, %s FROM shop.products",
                (cursor.fetchone()[0], 10 + number),
            )
    platform.catch_up()
    rows = daily_sales(platform)
    assert {row[0] for row in rows} == set(DAYS)
    return rows


def daily_sales(platform: Platform) -> list[tuple[Any, ...]]:
    """The rows of those three days."""
    bounds = f"DATE'{DAYS[0]}' AND DATE'{DAYS[-1]}'"
    rows = platform.sql(f"SELECT day, category, region, orders, units, revenue_usd FROM gold.daily_sales WHERE day BETWEEN {bounds}")
    return sorted((_as_date(row[0]), *row[1:]) for row in rows)


def _as_date(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def backfill(platform: Platform, airflow: Airflow, first: date, last: date) -> None:
    """Recompute these days by Airflow's own command, also if they ran before, and wait for the end."""
    platform.run(
        *("infra.airflow", "backfill", "create", "--dag-id", "gold_daily", "--reprocess-behavior", "completed"),
        *("--from-date", str(first), "--to-date", str(last)),
    )
    created = max(airflow.call("GET", "/backfills", params={"dag_id": "gold_daily"})["backfills"], key=lambda backfill: backfill["id"])
    until(lambda: airflow.call("GET", f"/backfills/{created['id']}")["completed_at"], 600, f"the backfill of {first} to {last} to end")


@pytest.mark.long
def test_a_backfill_recomputes_exactly_the_requested_days_and_is_idempotent(
    platform: Platform, airflow: Airflow, three_days: list[tuple[Any, ...]]
) -> None:
    days = ", ".join(f"DATE'{day}'" for day in DAYS)
    platform.sql(f"UPDATE gold.daily_sales SET revenue_usd = revenue_usd + 1000, units = units + 1 WHERE day IN ({days})")
    spoiled = daily_sales(platform)
    assert not set(spoiled) & set(three_days)

    expected = sorted([row for row in three_days if row[0] != DAYS[2]] + [row for row in spoiled if row[0] == DAYS[2]])
    for _ in range(2):
        backfill(platform, airflow, DAYS[0], DAYS[1])
        assert daily_sales(platform) == expected
    backfill(platform, airflow, DAYS[2], DAYS[2])
    assert daily_sales(platform) == three_days


@pytest.mark.long
def test_a_run_survives_a_killed_scheduler(platform: Platform, airflow: Airflow) -> None:
    pid = platform.service("airflow-scheduler")["pid"]
    change(platform, "users", CHANGE_A_USER)
    run_id = airflow.trigger("silver")
    until(lambda: "running" in airflow.tasks("silver", run_id).values(), 180, "a task to run")
    os.kill(pid, signal.SIGKILL)
    assert not set(airflow.tasks("silver", run_id).values()) <= FINAL, "no work was in flight when the scheduler was killed"
    assert airflow.end_of("silver", run_id) == "success"
    assert set(airflow.tasks("silver", run_id).values()) <= FINAL
    assert platform.service("airflow-scheduler")["pid"] != pid
    platform.catch_up()
