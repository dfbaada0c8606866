"""Airflow's UI in a real browser: the freshness page in its menu, and a backfill from the UI."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from infra.services import postgres
from lakehouse import tables
from tests.e2e.airflow_api import Airflow
from tests.e2e.browser import launched
from tests.e2e.conftest import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

DAYS = ["2025/03/03", "2025/03/04"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from launched()


@pytest.fixture
def page(platform: Platform, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page of Airflow, logged in as its admin; keeps a screenshot."""
    opened = browser.new_page(viewport={"width": 1500, "height": 1000})
    opened.set_default_timeout(60_000)
    opened.goto(platform.settings.airflow_url)
    opened.fill("input[name=username]", "admin")
    opened.fill("input[name=password]", platform.settings.secret("airflow_admin"))
    opened.keyboard.press("Enter")
    opened.get_by_role("link", name="Freshness").wait_for()
    yield opened
    folder = Path(os.environ.get("KEEP_LOGS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=folder / f"control_room_{len(list(folder.glob('control_room_*')))}.png")
    opened.close()


def test_the_freshness_page_is_in_the_menu_and_has_every_table(page: Page) -> None:
    page.get_by_role("link", name="Freshness").click()
    frame = page.frame_locator("iframe")
    frame.locator("body[data-ready]").wait_for()
    shown = frame.locator("tbody th").all_inner_texts()
    assert set(shown) >= {"bronze.changes", "silver.quarantine", *(table.full_name for table in (*tables.SOURCES, *tables.GOLD))}


def test_a_failing_table_is_shown_in_the_grid_and_sends_an_alert(platform: Platform, page: Page) -> None:
    airflow = Airflow(platform.settings)
    with platform.broken_checkpoint("products"):
        run_id = airflow.trigger("silver")
        make_due(platform, run_id)
        assert airflow.end_of("silver", run_id) == "failed"
    for part in ("silver.products failed after try 3", "a run of DAG silver has not ended after"):
        until(lambda part=part: [text for text in platform.chat.texts if part in text], 120, f"an alert with {part!r}")  # type: ignore[misc]
    page.goto(f"{platform.settings.airflow_url}/dags/silver/runs/{run_id}")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="products"))
    row.get_by_text("Failed").first.wait_for()


def make_due(platform: Platform, run_id: str) -> None:
    """Move that run's deadline to now, instead of waiting ten minutes."""
    move = "UPDATE deadline SET deadline_time = now() WHERE dagrun_id = (SELECT id FROM dag_run WHERE run_id = %s)"
    with contextlib.closing(postgres.connect(platform.settings, "airflow")) as connection, connection.cursor() as cursor:

        def is_moved() -> bool:
            cursor.execute(move, (run_id,))
            return cursor.rowcount > 0

        until(is_moved, 60, f"a deadline of {run_id}")


def test_a_backfill_by_date_from_the_page(platform: Platform, page: Page) -> None:
    airflow = Airflow(platform.settings)
    page.goto(f"{platform.settings.airflow_url}/dags/gold_daily")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog").last
    dialog.locator("label").filter(has_text="Run this Dag for a range of dates").click()
    for number, day in enumerate(DAYS):
        dialog.get_by_test_id("datetime-input").nth(number).click()
        page.get_by_placeholder("YYYY/MM/DD").last.fill(day)
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
    dialog.locator("label").filter(has_text="All Runs").click()
    page.get_by_role("button", name="Run Backfill").click()
    wanted = {day.replace("/", "-") for day in DAYS}

    def states() -> dict[str, str]:
        runs = airflow.call("GET", "/dags/gold_daily/dagRuns?run_type=backfill&limit=100")["dag_runs"]
        return {run["logical_date"][:10]: run["state"] for run in runs if run["logical_date"][:10] in wanted}

    until(lambda: states() == dict.fromkeys(wanted, "success"), 600, "the two days to be computed")
