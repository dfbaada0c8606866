"""The pages in a real browser over a sample lake, without a platform, at two widths and in both colour schemes."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from playwright.sync_api import Browser, Page

from dashboards.boards import answers as answers_of
from dashboards.boards.app import application
from dashboards.metabase import files
from lakehouse import tables, wait
from lakehouse.settings import Settings
from tests import sample_lake
from tests.e2e.browser import launched, serious

BOARDS = list(files.boards().values())
GOLD = [table.name for table in tables.GOLD]
PAGES = ["Live orders", "Sales trends", "Customers", "Products", "Freshness"]
SHAPES = {"desk": (1280, 800), "phone": (390, 844)}
FRESH = {"state": "fresh", "since": None, "blocked": 0, "quarantined": 0, "run": None, "help": ""}
FRESHNESS: dict[str, Any] = {
    "tables": [
        FRESH | {"name": "bronze.changes", "rows": 10, "age_s": 3.0, "allowed_age_s": 60},
        FRESH | {"name": "silver.users", "rows": 10, "age_s": 900.0, "allowed_age_s": 300, "state": "stopped", "help": "accept the change"},
        FRESH
        | {
            "name": "silver.users_history",
            "rows": 30,
            "age_s": 900.0,
            "allowed_age_s": 300,
            "state": "stopped",
            "help": "accept the change",
        },
        FRESH | {"name": "gold.customers", "rows": 5, "age_s": None, "allowed_age_s": 600, "state": "late"},
    ],
    "waiting": [
        {
            "source_table": "users",
            "reason": "bad_value",
            "waiting": 3,
            "since": "2026-11-26T10:00:00+00:00",
            "help": "python -m lakehouse replay",
        }
    ],
    "to_bronze": {"median_s": 2.0, "p95_s": 4.5, "changes": 120},
    "to_gold": [{"table": "gold.daily_sales", "seconds": 60.0}],
    "is_airflow_away": True,
}


@dataclass(frozen=True)
class Served:
    """A running page and the folder of its lake."""

    url: str
    lake: Path
    settings: Settings


def serve(lake: Path, home: str) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(home=home, lake=f"file://{lake}", boards_port=port)
    server = uvicorn.Server(uvicorn.Config(application(settings), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait.until(lambda: server.started, 60, "the page's server to start", every_s=0.05)
    yield Served(settings.boards_url, lake, settings)
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def home() -> str:
    found = Settings.from_environment().home
    if not (Path(found) / "venv" / "dev" / "node_modules" / "axe-core").is_dir():
        pytest.fail(f"there is no axe-core in {found}/venv/dev: run `make install-dev`")
    return found


@pytest.fixture(scope="module", autouse=True)
def known_ages() -> Iterator[None]:
    """Fixed ages and freshness in place of the platform's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers_of.Answers, "_complete_to", lambda self: dict.fromkeys(GOLD, datetime.now(UTC) - timedelta(seconds=20)))
        patch.setattr(answers_of.Answers, "freshness", lambda self: FRESHNESS)
        yield


@pytest.fixture(scope="module")
def shop(home: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    lake = tmp_path_factory.mktemp("pages") / "lake"
    sample_lake.write(lake, sample_lake.drawn(datetime.now(UTC).replace(microsecond=0), days=40, orders_a_day=10))
    yield from serve(lake, home)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from launched()


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens a page; checks that its console has no errors, and keeps a screenshot."""
    opened: list[Page] = []
    errors: list[str] = []

    def visit(url: str, shape: str = "desk", scheme: Any = "light", is_quiet: bool = True) -> Page:
        width, height = SHAPES[shape]
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        opened.append(page)
        if is_quiet:
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield visit
    folder = Path(os.environ.get("KEEP_LOGS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for page in opened:
        page.screenshot(path=folder / f"{request.node.name.replace('/', '_')}.png", full_page=True)
        page.close()
    assert not errors


LOOKS = [("desk", "light"), ("desk", "dark"), ("phone", "light")]
# Texts of a chart that lie outside of it or are truncated.
CUT = """[...document.querySelectorAll('.chart')].flatMap(chart => { const box = chart.getBoundingClientRect();
  return [...chart.querySelectorAll('text')].filter(text => { const t = text.getBoundingClientRect();
    return t.left < box.left - 1 || t.right > box.right + 1 || t.top < box.top - 1 || t.bottom > box.bottom + 1
      || text.textContent.includes('…') }).map(text => text.textContent) })"""
# Empty space between a table's last row and the end of its tile.
EMPTY_PX = """[...document.querySelectorAll('.tile.is-table table')].map(table =>
  table.closest('.tile').getBoundingClientRect().bottom - table.getBoundingClientRect().bottom)"""


@pytest.mark.parametrize(("shape", "scheme"), LOOKS, ids=lambda value: value)
@pytest.mark.parametrize("path", [*(f"/boards/{board.name}" for board in BOARDS), "/freshness"])
def test_a_page_is_readable_at_every_width_and_in_both_colours(
    shop: Served, open_page: Callable[..., Page], path: str, shape: str, scheme: str
) -> None:
    page = open_page(shop.url + path, shape, scheme)
    page.wait_for_selector("body[data-ready]")
    assert page.locator("p.failed").all_inner_texts() == []
    assert page.locator(".skeleton").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert page.evaluate(CUT) == []
    assert all(gap < 40 for gap in page.evaluate(EMPTY_PX)), page.evaluate(EMPTY_PX)
    assert serious(page, shop.settings) == []
    assert [link.inner_text() for link in page.locator("nav a").all()] == PAGES
    assert page.locator("nav a[aria-current=page]").count() == 1


def test_a_board_has_its_layout_before_its_data(shop: Served, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    page.route("**/api/answers/**", lambda route: None)
    page.goto(f"{shop.url}/boards/customers")
    tiles = len(files.boards()["customers"].tiles)
    assert page.locator(".tile h2").count() == tiles
    assert page.locator(".tile[aria-busy=true] .skeleton").count() == tiles


def test_a_change_is_shown_with_an_arrow_a_percentage_and_text(shop: Served, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{shop.url}/boards/sales_trends")
    page.wait_for_selector("body[data-ready]")
    found = requests.get(f"{shop.url}/api/boards/sales_trends/sales_units", timeout=30).json()
    ((now, before),) = found["rows"]
    percent = 100 * (now - before) / before
    arrow, word = ("▲", "more") if percent > 0 else ("▼", "less")
    assert page.locator("#sales_units .against").inner_text() == f"{arrow} {abs(percent):.1f} % {word} than {before:,} before"


def test_a_filter_is_in_the_address_and_reset_removes_it(shop: Served, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{shop.url}/boards/sales_trends?region=EMEA")
    page.wait_for_selector("body[data-ready='1']")
    units = page.locator("#sales_units .number").inner_text()
    assert page.locator("select[name=region]").input_value() == "EMEA"
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector("body[data-ready='2']")
    assert page.locator("#sales_units .number").inner_text() != units
    assert "region" not in page.url
    assert page.get_by_role("button", name="Reset").count() == 0


def test_an_empty_tile_shows_its_text_and_is_small(shop: Served, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")

    def empty(route: Any) -> None:
        found = route.fetch().json()
        found["live_stuck"]["rows"] = []
        route.fulfill(json=found)

    page.route("**/api/answers/**", empty)
    page.goto(f"{shop.url}/boards/orders_live")
    page.wait_for_selector("body[data-ready]")
    tile = page.locator("#live_stuck")
    assert files.questions()["live_stuck"].empty in tile.inner_text()
    box = tile.bounding_box()
    assert box and box["height"] < 150


def test_a_tile_that_only_spark_can_answer_is_drawn_later_with_a_note(shop: Served, open_page: Callable[..., Page]) -> None:
    page = open_page("about:blank")
    answer = requests.get(f"{shop.url}/api/boards/sales_trends/sales_units", timeout=30).json()

    def later(route: Any) -> None:
        found = route.fetch().json()
        found["sales_units"] = {"later": "no", "age_s": 1, "allowed_age_s": 600}
        route.fulfill(json=found)

    page.route("**/api/answers/**", later)
    page.route(
        "**/api/boards/sales_trends/sales_units*", lambda route: route.fulfill(json=answer | {"note": "Answered by Spark: x is not known"})
    )
    page.goto(f"{shop.url}/boards/sales_trends")
    page.wait_for_selector("body[data-ready]")
    assert "Answered by Spark: x is not known" in page.locator("#sales_units .note").inner_text()
    assert page.locator("#sales_units .number").count() == 1


def test_freshness_shows_each_cause_once(shop: Served, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{shop.url}/freshness")
    page.wait_for_selector("body[data-ready]")
    assert page.locator("#about").inner_text().startswith("3 of 4 tables need attention.")
    causes = page.locator(".cause").all_inner_texts()
    assert len(causes) == 2, "two tables are stopped by one change"
    assert "silver.users, silver.users_history" in causes[0]
    assert "accept the change" in causes[0]
    assert page.locator("#tables tbody th").all_inner_texts() == [table["name"] for table in FRESHNESS["tables"]]
    assert page.locator("nav a").first.get_attribute("target") == "_top", "Airflow embeds the page in a frame"


def test_before_the_first_run_each_tile_names_the_missing_table_and_the_cure(
    home: str, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    for served in serve(tmp_path / "lake", home):
        page = open_page(f"{served.url}/boards/products")
        page.wait_for_selector("body[data-ready]")
        texts = page.locator(".tile .failed").all_inner_texts()
        assert len(texts) == len(files.boards()["products"].tiles)
        assert all("there is no " in text and "`make up`" in text for text in texts), texts
        shutil.rmtree(tmp_path / "lake", ignore_errors=True)
