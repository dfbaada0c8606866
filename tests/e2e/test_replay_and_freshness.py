"""What waits in quarantine is told and replayed, and a quiet table is told from a pipeline that stands still."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from playwright.sync_api import Browser, Page

from lakehouse import tables
from lakehouse.health import airflow_client
from lakehouse.settings import PROJECT
from lakehouse.spark import session
from tests.e2e import state_oracle
from tests.e2e.airflow_api import Airflow
from tests.e2e.browser import launched
from tests.e2e.conftest import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(2400)]

PRODUCTS = tables.source("products")
MANY = 101  # one more than EBAP_QUARANTINE_ALERT
REFUSING = """
        Expect(name="stock_is_small", condition="stock < 1000000", doc="A mistake.", severity=Severity.REFUSE),
    ),
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from launched()


@pytest.fixture(scope="module")
def quiet(platform: Platform) -> Platform:
    platform.run("generator", "pause")
    platform.catch_up()
    return platform


def refine_with_a_refusing_expectation(platform: Platform, folder: Path) -> str:
    """Refine products by a release whose declaration refuses what the source accepts."""
    shutil.copytree(PROJECT / "spark_apps", folder / "spark_apps")
    declared = folder / "spark_apps" / "lakehouse" / "tables" / "products.py"
    text = declared.read_text().replace("import Column, Expect, History, Table", "import Column, Expect, History, Severity, Table")
    head, _, tail = text.rpartition("\n    ),\n")
    declared.write_text(head + REFUSING + tail)
    command = [sys.executable, "spark_apps/refine.py", "products"]
    done = subprocess.run(command, env=platform.environ, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def paused_between_runs(platform: Platform, airflow: Airflow) -> bool:
    """Pause DAG silver where nothing is under way: a run whose DAG is paused does not end."""
    airflow.call("PATCH", "/dags/silver", json={"is_paused": True})
    if airflow_client.active(platform.settings):
        airflow.call("PATCH", "/dags/silver", json={"is_paused": False})
        return False
    return True


def signal_all(pid: int, number: int) -> None:
    """Send a signal to a service and all below it: land's work is done by a JVM under its Python."""
    service = psutil.Process(pid)
    for process in [service, *service.children(recursive=True)]:
        process.send_signal(number)


def rows(platform: Platform, name: str) -> list[Any]:
    spark = session.connect(platform.settings)
    try:
        return spark.read.table(name).collect()
    finally:
        spark.stop()


def assert_equals_the_source(platform: Platform) -> None:
    with platform.postgres() as cursor:
        state, history = state_oracle.expected_state(cursor, PRODUCTS), state_oracle.expected_history(cursor, PRODUCTS)
    assert not state_oracle.differences(state, state_oracle.actual_state(rows(platform, "silver.products"), PRODUCTS))
    assert not state_oracle.differences(history, state_oracle.actual_history(rows(platform, "silver.products_history"), PRODUCTS))


def freshness(platform: Platform, browser: Browser, name: str) -> Page:
    """The freshness page, looked at and kept."""
    page = browser.new_page(viewport={"width": 1700, "height": 1100})
    page.goto(f"{platform.settings.boards_url}/freshness")
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    kept = os.environ.get("KEEP_LOGS")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(kept) / f"freshness_{name}.png", full_page=True)
    return page


def waiting(platform: Platform) -> list[tuple[str, str, int]]:
    return [(row["source_table"], row["reason"], row["waiting"]) for row in platform.status()["waiting"]]


def test_what_a_mistaken_expectation_refused_waits_is_told_and_goes_in_by_replay(quiet: Platform, browser: Browser, tmp_path: Path) -> None:
    airflow = Airflow(quiet.settings)
    until(lambda: paused_between_runs(quiet, airflow), 300, "a moment between two runs")
    with quiet.postgres() as cursor:
        cursor.execute(
            f"UPDATE shop.products SET stock = stock + 1000000 WHERE product_id IN (SELECT product_id FROM shop.products LIMIT {MANY})"
        )
    until(lambda: quiet.sql("SELECT count(*) FROM bronze.products WHERE stock >= 1000000") == [(MANY,)], 120, "the changes to land")
    assert f"quarantined={MANY}" in refine_with_a_refusing_expectation(quiet, tmp_path)
    with pytest.raises(AssertionError):
        assert_equals_the_source(quiet)

    # The fix: today's declaration, which has no such expectation. Nothing goes in by itself, the data goes on, people are told.
    airflow.call("PATCH", "/dags/silver", json={"is_paused": False})
    run_id = airflow.trigger("silver")
    assert airflow.end_of("silver", run_id) == "success"
    assert airflow.tasks("silver", run_id)["quarantine"] == "failed"
    said = f"{MANY} records of products wait in silver.quarantine, more than EBAP_QUARANTINE_ALERT=100 ({MANY} refused)"
    until(lambda: [text for text in quiet.chat.texts if said in text and "lakehouse replay products" in text], 60, "to be told")
    quiet.catch_up()
    assert quiet.sql("SELECT count(*) FROM silver.products_history WHERE _is_blocked") == [(MANY,)]
    assert waiting(quiet) == [("products", "refused", MANY)]
    page = freshness(quiet, browser, "waiting")
    assert "python -m lakehouse replay products --reason refused" in page.locator("#waiting").inner_text()
    page.close()
    assert f'ebap_quarantine_waiting_records{{table="products",reason="refused"}} {MANY}\n' in metrics(quiet)

    assert f"replayed={MANY}, waiting=0" in quiet.run("lakehouse", "replay", "products", "--reason", "refused")
    assert quiet.sql("SELECT count(*) FROM silver.products_history WHERE _is_blocked") == [(0,)]
    assert_equals_the_source(quiet)
    before = quiet.newest_change("silver.products_changes")
    assert "replayed=0, waiting=0" in quiet.run("lakehouse", "replay", "products")
    assert quiet.newest_change("silver.products_changes") == before
    assert waiting(quiet) == []
    run_id = airflow.trigger("silver")
    airflow.end_of("silver", run_id)
    assert airflow.tasks("silver", run_id)["quarantine"] == "success"


def metrics(platform: Platform) -> str:
    answer = requests.get(f"{platform.settings.boards_url}/metrics", timeout=90)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def states(platform: Platform) -> dict[str, str]:
    """The state of each silver table that `status` shows."""
    return {row["name"]: row["state"] for row in platform.status()["tables"] if row["name"].startswith("silver.")}


def test_a_quiet_shop_is_idle_and_a_stage_that_stands_still_is_named(quiet: Platform, browser: Browser) -> None:
    quiet.catch_up()
    # Five minutes without a change: as long as the tables' age may be.
    until(lambda: set(states(quiet).values()) == {"idle"}, 600, "every table to be idle")
    page = freshness(quiet, browser, "idle")
    assert "✓ idle since" in page.locator("[id='silver.orders']").inner_text()
    page.close()
    for service, stage in (("land", "land"), ("connect", "capture")):
        pid = quiet.service(service)["pid"]
        signal_all(pid, signal.SIGSTOP)
        try:
            until(lambda stage=stage: set(states(quiet).values()) == {f"stalled at {stage}"}, 240, f"every table to be stalled at {stage}")  # type: ignore[misc]
            page = freshness(quiet, browser, stage)
            assert f"✗ stalled at {stage} since" in page.locator("[id='silver.orders']").inner_text()
            assert f"make restart S={service}" in page.locator("[id='silver.orders']").inner_text()
            page.close()
            assert f'ebap_table_state{{table="silver.orders",state="stalled at {stage}"}} 1\n' in metrics(quiet)
            assert 'ebap_table_state{table="silver.orders",state="idle"} 0\n' in metrics(quiet)
        finally:
            signal_all(pid, signal.SIGCONT)
        until(lambda: set(states(quiet).values()) == {"idle"}, 300, "every table to be idle again")
