"""Boards where gold tables are not declared: the page starts, leaves out what reads them, and says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dashboards.boards.answers import Answers
from dashboards.boards.app import application
from dashboards.metabase import available, files, provision
from lakehouse import tables
from lakehouse.contract import Column, Table
from lakehouse.settings import Settings
from tests import sample_lake

BOARDS = files.boards()
Serve = Callable[[tuple[Table, ...]], TestClient]


def without(*names: str) -> tuple[Table, ...]:
    return tuple(table for table in tables.GOLD if table.name not in names)


def lacking(table: str, column: str) -> tuple[Table, ...]:
    """Gold with another name for a column of this table."""

    def renamed(each: Column) -> Column:
        return dataclasses.replace(each, name=f"other_{column}") if each.name == column else each

    found = tables.gold(table)
    changed = dataclasses.replace(found, columns=tuple(map(renamed, found.columns)), key=(found.columns[0].name,))
    return (*without(table), changed)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """The page over an empty lake with these gold tables."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "echarts.min.js").touch()
    monkeypatch.setattr(Answers, "warm", lambda self: None)

    def started(gold: tuple[Table, ...]) -> TestClient:
        monkeypatch.setattr(tables, "GOLD", gold)
        settings = Settings(home=str(tmp_path), lake=f"file://{tmp_path}/lake")
        return TestClient(application(settings), base_url="http://localhost", follow_redirects=True)

    yield started


def test_the_page_starts_without_the_table_of_a_board(serve: Serve) -> None:
    page = serve(without("daily_sales"))
    assert page.get("/boards/sales_trends").status_code == 404
    shown = page.get("/")
    assert shown.url.path == "/boards/orders_live"
    assert "Sales trends" not in shown.text
    assert "Left out: board Sales trends (gold.daily_sales is not declared)" in page.get("/freshness").text
    products = page.get("/boards/products")
    assert "Left out" not in products.text
    assert '<select name="category">' in products.text


def test_a_board_without_some_of_its_tables_shows_the_other_tiles_and_names_the_missing_ones(serve: Serve) -> None:
    page = serve(without("price_changes"))
    shown = page.get("/boards/products").text
    assert "Left out of Products: Price changes and units sold (gold.price_changes is not declared)" in shown
    assert 'id="products_price_changes"' not in shown
    assert 'id="products_best"' in shown
    found = page.get("/api/answers/products").json()
    assert set(found) == {tile.question.name for tile in BOARDS["products"].tiles} - {"products_price_changes"}


def test_the_page_without_any_table_of_a_board_is_the_freshness_page(serve: Serve) -> None:
    page = serve(())
    shown = page.get("/")
    assert shown.url.path == "/freshness"
    assert shown.text.count("Left out: board ") == len(BOARDS)


def test_the_choices_come_from_the_table_that_most_tiles_with_the_filter_read() -> None:
    found = {name: {key: one.tables for key, one in available.choices(board, tables.GOLD).items()} for name, board in BOARDS.items()}
    assert found == {
        "orders_live": {},
        "sales_trends": {"category": ("daily_sales",), "region": ("daily_sales",)},
        "customers": {"region": ("customers",)},
        "products": {"category": ("product_stock",)},
    }
    # Without that table its tiles are left out, and another one has the choices.
    gold = without("customers")
    board = available.shown(BOARDS, gold).boards["customers"]
    assert {key: one.tables for key, one in available.choices(board, gold).items()} == {"region": ("customer_orders",)}


def test_the_choices_are_the_values_of_that_table(tmp_path: Path) -> None:
    sample_lake.write(tmp_path / "lake", sample_lake.drawn(datetime.now(UTC).replace(microsecond=0), days=20, orders_a_day=6))
    questions = {name: available.choices(board, tables.GOLD) for name, board in BOARDS.items()}
    answers = Answers(Settings(lake=f"file://{tmp_path}/lake"), [one for each in questions.values() for one in each.values()])
    regions, categories = answers.choices(questions["customers"]["region"]), answers.choices(questions["products"]["category"])
    by_day = answers.choices(questions["sales_trends"]["category"])
    answers.close()
    assert regions == sorted(sample_lake.REGIONS)
    assert categories == sorted(sample_lake.CATEGORIES)
    assert by_day and set(by_day) <= set(categories)


def test_a_filter_goes_with_the_last_tile_that_uses_it() -> None:
    shown = available.shown({"products": BOARDS["products"]}, without("product_daily", "price_changes"))
    assert shown.boards["products"].filters == ("category",)
    assert ", filter from, filter to (gold.price_changes, gold.product_daily are not declared)" in shown.left_out["products"]


def test_a_filter_without_a_column_of_its_choices_is_left_out() -> None:
    shown = available.shown({"sales_trends": BOARDS["sales_trends"]}, lacking("daily_sales", "region"))
    board = shown.boards["sales_trends"]
    assert board.tiles == BOARDS["sales_trends"].tiles
    assert "region" not in board.filters
    assert shown.left_out == {"sales_trends": "Left out of Sales trends: filter region (no table of its tiles has a column region)"}


def test_nothing_is_left_out_while_all_tables_are_declared() -> None:
    shown = available.shown(BOARDS, tables.GOLD)
    assert (shown.boards, shown.left_out) == (BOARDS, {})


def test_metabase_is_given_only_what_is_declared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given: dict[str, files.Board] = {}

    def run(work: provision.Provisioner) -> dict[str, str]:
        given.update(work.boards)
        return {}

    monkeypatch.setattr(provision.Provisioner, "run", run)
    monkeypatch.setattr(tables, "GOLD", without("daily_sales"))
    assert provision.main(["plan"]) == 0
    assert set(given) == BOARDS.keys() - {"sales_trends"}
    assert capsys.readouterr().out.startswith("Left out: board Sales trends (gold.daily_sales is not declared)\n")
