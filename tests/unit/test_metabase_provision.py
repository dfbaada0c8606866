"""The provisioner against an in-memory fake that enforces Metabase's published schemas: creation, idempotence and repair."""

from __future__ import annotations

import dataclasses
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.metabase import desired, files, provision
from dashboards.metabase.files import Board
from dashboards.metabase.provision import Provisioner
from lakehouse import tables
from lakehouse.contract import Column
from lakehouse.settings import Settings
from tests.refusals import refused
from tests.unit.metabase_server import Body, FakeMetabase, Refusal, published_schemas, serve

BOARDS = files.boards()
# Gold has no personal data, so the tests add a column with some.
_EMAIL = Column(name="email", type="STRING", doc="Hash of an address.", pii=True, hashed=True)
WITH_PII = tuple(
    dataclasses.replace(table, columns=(*table.columns, _EMAIL)) if table.name == "daily_sales" else table for table in tables.GOLD
)


@pytest.fixture(scope="session")
def schemas() -> dict[str, Body]:
    return published_schemas(Settings.from_environment())


@pytest.fixture
def fake(schemas: dict[str, Body]) -> Iterator[FakeMetabase]:
    made = FakeMetabase(schemas, WITH_PII)
    yield made
    assert made.faults == []


@pytest.fixture
def settings(fake: FakeMetabase, tmp_path: Path) -> Iterator[Settings]:
    with serve(fake) as url:
        yield Settings(home=str(tmp_path), metabase_url=url)


Run = Callable[..., list[str]]


@pytest.fixture
def run(settings: Settings) -> Run:
    """Plan or apply; returns the changes."""

    def do(verb: str, boards: dict[str, Board] = BOARDS, **options: Any) -> list[str]:
        work = Provisioner(settings=settings, is_dry=verb == "plan", boards=boards, gold=WITH_PII, ready_limit_s=2, **options)
        work.run()
        return work.changes

    return do


def only(fake: FakeMetabase, kind: str, **wanted: Any) -> Body:
    (found,) = (row for row in fake.rows[kind].values() if all(row[key] == value for key, value in wanted.items()))
    return found


def card(fake: FakeMetabase, question: str) -> Body:
    return only(fake, "card", entity_id=desired.entity_id("card", question))


def test_the_first_apply_creates_everything_and_the_second_changes_nothing(run: Run, fake: FakeMetabase) -> None:
    fake.starting = 2
    assert run("apply")
    tiles = sum(len(board.tiles) for board in BOARDS.values())
    assert len(fake.rows["card"]) == tiles
    assert sorted(row["name"] for row in fake.rows["dashboard"].values()) == sorted(board.title for board in BOARDS.values())
    assert sum(len(row["dashcards"]) for row in fake.rows["dashboard"].values()) == tiles
    assert not fake.is_tracking
    fake.writes.clear()
    assert run("plan") == []
    assert run("apply") == []
    # The login is the only request that writes.
    assert {path for _, path, _ in fake.writes} == {"session"}


def test_a_plan_sends_no_change_and_lists_the_same_as_apply(run: Run, fake: FakeMetabase) -> None:
    planned = run("plan")
    assert fake.writes == []
    applied = run("apply")
    # The sync, and the setting that Metabase's setup turns on, are known only during apply.
    later = ("change connection", "change setting")
    assert planned == [change for change in applied if not change.startswith(later)]


def test_each_dashboard_is_filled_in_one_request(run: Run, fake: FakeMetabase) -> None:
    run("apply")
    puts = [body for verb, path, body in fake.writes if verb == "PUT" and path.startswith("dashboard/")]
    assert [len(body["dashcards"]) for body in puts] == [len(board.tiles) for board in BOARDS.values()]
    assert all(dashcard["id"] < 0 for body in puts for dashcard in body["dashcards"])


def test_the_exit_code_reports_whether_a_plan_found_differences(
    settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Settings, "from_environment", lambda: settings)
    assert provision.main(["plan"]) == 2
    assert "create dashboard sales_trends" in capsys.readouterr().out
    run("apply")
    capsys.readouterr()
    assert provision.main(["plan"]) == 0
    assert capsys.readouterr().out == "no change\n"
    assert provision.main(["apply"]) == 0
    assert re.search(rf"^Sales trends: {settings.metabase_url}/dashboard/\d+#refresh=60$", capsys.readouterr().out, re.MULTILINE)


def test_the_admin_is_set_up_once_with_a_password_that_only_its_owner_can_read(run: Run, fake: FakeMetabase, settings: Settings) -> None:
    run("apply")
    run("apply")
    assert [path for _, path, _ in fake.writes].count("setup") == 1
    kept = settings.secret_file("metabase_admin")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text() == fake.password


def test_a_password_stored_by_an_interrupted_run_is_used(run: Run, fake: FakeMetabase, settings: Settings) -> None:
    settings.secrets_dir.mkdir()
    settings.secret_file("metabase_admin").write_text("kept-before-1")
    run("apply")
    assert fake.password == "kept-before-1"


def test_the_connection_is_binary_and_repaired(run: Run, fake: FakeMetabase, settings: Settings) -> None:
    run("apply")
    database = only(fake, "database", name="EBAP gold")
    assert database["engine"] == "sparksql"
    assert database["details"] == {"host": "127.0.0.1", "port": settings.thrift_port, "dbname": "gold", "user": "ebap", "jdbc-flags": ""}
    database["details"] |= {"port": 1, "jdbc-flags": ";transportMode=http", "added-by-metabase": True}
    assert run("apply") == ["change connection EBAP gold: details"]
    assert run("plan") == []


def test_tables_and_columns_have_the_metadata_of_their_declaration(run: Run, fake: FakeMetabase) -> None:
    run("apply")
    sales = only(fake, "table", name="daily_sales")
    assert "Grain: " in sales["description"]
    fields = {(row["table_id"], row["name"]): row for row in fake.rows["field"].values()}
    assert fields[sales["id"], "revenue_usd"]["semantic_type"] == "type/Currency"
    assert fields[sales["id"], "category"]["semantic_type"] == "type/Category"
    assert fields[sales["id"], "day"]["semantic_type"] is None
    customers = only(fake, "table", name="customers")
    assert fields[customers["id"], "user_id"]["semantic_type"] == "type/PK"
    assert [row["name"] for row in fake.rows["field"].values() if row["visibility_type"] == "sensitive"] == ["email"]
    assert all(row["description"] for row in fake.rows["field"].values())


@pytest.mark.parametrize(
    ("question", "display", "drawn"),
    [
        ("sales_revenue", "scalar", {"scalar.field": "revenue_usd"}),
        ("sales_by_region", "bar", {"graph.dimensions": ["region"], "graph.metrics": ["revenue_usd"]}),
        (
            "customers_new_returning",
            "bar",
            {"graph.dimensions": ["day"], "graph.metrics": ["new_buyers", "returning_buyers"], "stackable.stack_type": "stacked"},
        ),
        (
            "live_orders_per_minute",
            "combo",
            {
                "graph.dimensions": ["minute"],
                "graph.metrics": ["orders", "revenue_usd"],
                "series_settings": {"orders": {"display": "bar"}, "revenue_usd": {"display": "line"}},
            },
        ),
        ("live_latest", "table", {}),
    ],
)
def test_a_question_is_displayed_as_declared_in_its_file(run: Run, fake: FakeMetabase, question: str, display: str, drawn: Body) -> None:
    run("apply")
    made = card(fake, question)
    assert (made["display"], made["visualization_settings"]) == (display, drawn)
    assert len(made["entity_id"]) == 21


def test_filters_are_connected_only_to_questions_that_use_them(run: Run, fake: FakeMetabase) -> None:
    run("apply")
    board = only(fake, "dashboard", name="Products")
    assert [(one["slug"], one["type"]) for one in board["parameters"]] == [
        ("from", "date/single"),
        ("to", "date/single"),
        ("category", "string/="),
    ]
    questions = {card(fake, tile.question.name)["id"]: tile.question for tile in BOARDS["products"].tiles}
    for dashcard in board["dashcards"]:
        wired = {one["parameter_id"]: one["target"] for one in dashcard["parameter_mappings"]}
        assert wired == {name: ["variable", ["template-tag", name]] for name in questions[dashcard["card_id"]].filters}
    # The current stock has no date filter.
    stock = next(one for one in board["dashcards"] if questions[one["card_id"]].name == "products_stock_cover")
    assert [one["parameter_id"] for one in stock["parameter_mappings"]] == ["category"]
    tags = card(fake, "products_best")["dataset_query"]["stages"][0]["template-tags"]
    assert {name: tag["type"] for name, tag in tags.items()} == {"from": "date", "to": "date", "category": "text"}


def test_a_filter_that_the_board_does_not_have_is_not_connected(run: Run, fake: FakeMetabase) -> None:
    run("apply", {"products": dataclasses.replace(BOARDS["products"], filters=("category",))})
    mappings = [one for dashcard in only(fake, "dashboard")["dashcards"] for one in dashcard["parameter_mappings"]]
    assert {one["parameter_id"] for one in mappings} == {"category"}


def test_manually_added_tabs_are_removed(run: Run, fake: FakeMetabase) -> None:
    run("apply")
    board = only(fake, "dashboard", name="Products")
    board["tabs"] = [{"id": 900, "dashboard_id": board["id"], "name": "Tab"}]
    for dashcard in board["dashcards"]:
        dashcard["dashboard_tab_id"] = 900
    assert run("apply") == ["change dashboard products: dashcards"]
    assert board["tabs"] == []
    assert {dashcard["dashboard_tab_id"] for dashcard in board["dashcards"]} == {None}
    assert run("plan") == []


def test_manual_changes_are_reverted(run: Run, fake: FakeMetabase) -> None:
    run("apply")
    before = [one["id"] for one in only(fake, "dashboard", name="Sales trends")["dashcards"]]
    card(fake, "sales_by_region")["display"] = "pie"
    card(fake, "sales_daily")["dataset_query"]["stages"][0]["native"] = "SELECT 1"
    card(fake, "live_stuck")["archived"] = True
    only(fake, "dashboard", name="Sales trends")["dashcards"][0]["row"] = 40
    only(fake, "dashboard", name="Products")["dashcards"].pop()
    only(fake, "dashboard", name="Customers").update(archived=True, name="Gone")
    only(fake, "table", name="daily_sales")["description"] = "Whatever"
    only(fake, "collection", name="EBAP")["name"] = "Old"
    planned = run("plan")
    assert planned == [
        "change table daily_sales: description",
        "change collection EBAP: name",
        "change card live_stuck: archived, collection_id",
        "change card sales_by_region: display",
        "change card sales_daily: dataset_query",
        "change dashboard customers: archived, collection_id, name",
        "change dashboard products: dashcards",
        "change dashboard sales_trends: dashcards",
    ]
    assert run("apply") == planned
    assert run("plan") == []
    # Links to a dashcard remain valid.
    assert [one["id"] for one in only(fake, "dashboard", name="Sales trends")["dashcards"]] == before


def test_objects_without_a_file_are_archived_and_unmanaged_ones_are_kept(run: Run, fake: FakeMetabase) -> None:
    run("apply")
    collection = only(fake, "collection", name="EBAP")["id"]
    query = desired.card(BOARDS["sales_trends"].tiles[0].question, only(fake, "database")["id"], collection)["dataset_query"]
    by_hand = {"name": "Mine", "display": "table", "dataset_query": query, "visualization_settings": {}}
    fake._create("card", {**by_hand, "collection_id": collection, "entity_id": "made_in_the_interface"})
    fake._create("dashboard", {"name": "Also mine", "collection_id": collection})
    live = BOARDS["orders_live"]
    kept = dataclasses.replace(live, tiles=tuple(tile for tile in live.tiles if tile.question.name != "live_stuck"))
    fewer = {name: board for name, board in BOARDS.items() if name not in (live.name, "products")} | {live.name: kept}
    removed = {tile.question.title for tile in BOARDS["products"].tiles} | {card(fake, "live_stuck")["name"]}
    changes = run("apply", fewer)
    assert {row["name"] for row in fake.rows["card"].values() if row["archived"]} == removed
    assert [row["name"] for row in fake.rows["dashboard"].values() if row["archived"]] == ["Products"]
    assert f"change dashboard {live.name}: dashcards" in changes
    assert run("plan", fewer) == []
    # A file that is added again restores the same card.
    assert "change card live_stuck: archived, collection_id" in run("apply")
    assert run("plan") == []


def test_an_interrupted_apply_can_be_repeated(run: Run, fake: FakeMetabase) -> None:
    run("apply")
    only(fake, "dashboard", name="Sales trends").update(caveats=None, dashcards=[], parameters=[])
    assert run("apply") == ["change dashboard sales_trends: caveats, dashcards, parameters"]
    assert len([row for row in fake.rows["dashboard"].values() if row["name"] == "Sales trends"]) == 1


def test_a_wrong_password_names_its_file(run: Run, settings: Settings) -> None:
    run("apply")
    settings.secret_file("metabase_admin").write_text("not-this-1")
    with refused("/secrets/metabase_admin", cure="admin@ebap.local"):
        run("plan")
    settings.secret_file("metabase_admin").unlink()
    with refused("/secrets/metabase_admin", cure="admin@ebap.local"):
        run("plan")


def test_without_a_metabase_the_setting_is_named(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), metabase_url="http://127.0.0.1:9")
    with refused("http://127.0.0.1:9", cure="EBAP_METABASE_URL"):
        Provisioner(settings=settings, is_dry=False, boards=BOARDS, ready_limit_s=0).run()


def test_a_sync_that_is_not_done_in_time_names_the_tables(run: Run, fake: FakeMetabase) -> None:
    fake.unread = {"customers", "orders_live"}
    with refused("orders_live, customers", cure="apply again"):
        run("apply", sync_limit_s=0.2)
    assert fake.rows["card"] == {}
    fake.unread = set()
    assert "create card live_stuck" in run("apply")
    assert run("plan") == []


def test_an_added_column_is_synced_and_described(run: Run, fake: FakeMetabase) -> None:
    run("apply")
    table = only(fake, "table", name="customers")
    missing = next(row for row in fake.rows["field"].values() if (row["table_id"], row["name"]) == (table["id"], "tier"))
    del fake.rows["field"][missing["id"]]
    assert run("plan") == [
        "change connection EBAP gold: sync customers",
        "change column customers.tier: description, semantic_type",
    ]
    run("apply")
    assert run("plan") == []


def test_the_fake_refuses_what_metabase_would(schemas: dict[str, Body]) -> None:
    """Negative control: a body that violates the published schema is refused."""
    fake = FakeMetabase(schemas, WITH_PII)
    collection = fake._create("collection", {"name": "EBAP"})
    made = fake._create("dashboard", {"name": "B", "collection_id": collection["id"]})
    with pytest.raises(Refusal, match="401"):
        fake.answer("GET", "card", {}, None, "session-of-nobody")
    with pytest.raises(Refusal, match="404"):
        fake._get("card", 12345)
    wrong: list[tuple[str, tuple[Any, ...], Body]] = [
        ("_create", ("dashboard",), {"name": "B", "entity_id": "no-such-key"}),
        ("_create", ("card",), {"name": "C", "display": "table", "visualization_settings": {}}),
        ("_update", ("dashboard", made["id"]), {"parameters": [{"id": "from", "type": "date/whenever"}]}),
        ("_update", ("dashboard", made["id"]), {"dashcards": [{"id": -1, "row": 0, "col": 0, "size_x": 0, "size_y": 1, "card_id": 1}]}),
        ("_create", ("database",), {"name": "D", "engine": "h2", "details": {}}),
    ]
    for number, (method, arguments, body) in enumerate(wrong, start=1):
        with pytest.raises(Refusal, match="400"):
            getattr(fake, method)(*arguments, body)
        assert len(fake.faults) == number
