"""`aggregate`: touched slices only, late changes included, the same rows as a full recomputation, and nothing twice; on both engines."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lakehouse import tables
from lakehouse.contract import Column
from lakehouse.delta.commit import commit
from lakehouse.errors import ConflictError, TooLargeError
from lakehouse.gold import aggregate, pseudonyms, reach
from lakehouse.gold.aggregate import AggregateResult
from lakehouse.lake.lake import Lake
from lakehouse.lake.state import StateStore
from lakehouse.settings import Settings
from tests.conftest import empty_lake
from tests.e2e.own_postgres import running_postgres
from tests.refusals import refused
from tests.unit.light_lake import LightLake
from tests.unit.silver_shop import START, Shop

TABLES = ("order_lines", "daily_sales", "product_daily")
FIRST = START.date()


class Gold:
    """An empty lake of a test's own, aggregated by one engine."""

    def __init__(self, lake: Lake, engine: Any = None) -> None:
        self.lake, self._engine = lake, engine

    def aggregate(self, name: str, slices: list[date] | None = None) -> AggregateResult:
        if self._engine is None:
            return aggregate.run(self.lake, name, slices)
        return aggregate.run_by(self.lake, self._engine, name, slices)

    def rows(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.lake.read(tables.gold(name)).to_pylist()
        return found

    def version(self, name: str) -> int:
        return self.lake.snapshot(tables.gold(name)).version


@pytest.fixture(scope="module")
def light_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_postgres(tmp_path_factory.mktemp("light")) as made:
        StateStore(made).create()
        yield made


@pytest.fixture
def light(light_settings: Settings, tmp_path: Path) -> Gold:
    return Gold(LightLake.at(light_settings, tmp_path).lake)


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def gold(request: pytest.FixtureRequest, tmp_path: Path) -> Gold:
    if request.param == "duckdb":
        made: Gold = request.getfixturevalue("light")
        return made
    from lakehouse.gold.heavy import Heavy

    spark = request.getfixturevalue("spark")
    settings = empty_lake(spark, request.getfixturevalue("lake_settings"), tmp_path)
    return Gold(Lake(settings), partial(Heavy, spark, settings))


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def order(shop: Shop, number: int, hours: float, on: int, status: str = "paid", lsn: float | None = None, user: int | None = 1) -> None:
    ordered_at = START + timedelta(days=on, hours=12)
    shop.change("orders", hours, lsn=lsn, order_id=number, user_id=user, status=status, ordered_at=ordered_at)


def line(shop: Shop, number: int, hours: float, product: int = 1, quantity: int = 1) -> None:
    price = Decimal("1.00")
    shop.change("order_items", hours, order_id=number, line_no=1, product_id=product, quantity=quantity, unit_price_usd=price)


def small_shop() -> Shop:
    """One user and one product since hour 1; orders 1, 2, 3 at hours 24, 48, 72, of days 1, 2, 3."""
    shop = Shop()
    shop.change("users", 1, user_id=1, region="EMEA", tier="gold")
    shop.change("products", 1, product_id=1, price_usd=Decimal("1.00"), category="toys")
    for number in (1, 2, 3):
        order(shop, number, 24 * number, on=number)
        line(shop, number, 24 * number)
    # A later run that changed what meets no line, one row a table: the mark's own run is looked at again, and nothing before it.
    shop.run = 2
    shop.change("users", 0, user_id=7)
    shop.change("products", 0, product_id=7)
    order(shop, 7, 0, on=0)
    line(shop, 8, 0)
    return shop


def test_a_change_reaches_the_days_it_must_and_no_other(gold: Gold) -> None:
    shop = small_shop()

    def step() -> tuple[Any, dict[str, tuple[Any, ...]]]:
        """The days of order_lines that were computed, and per table those that were replaced."""
        shop.refine(gold.lake)
        results = [gold.aggregate(name) for name in TABLES]
        return results[0].recomputed, {result.table: result.slices for result in results}

    def revenue() -> dict[date, Decimal]:
        return {row["day"]: row["revenue_usd"] for row in gold.rows("daily_sales")}

    one = Decimal("1.00")
    assert step() == (None, dict.fromkeys(TABLES, (day(1), day(2), day(3)))), "the first run makes everything"

    # In order: a new tier after the last order reaches no order. Cancelled long after: the order's old day. Day 0 is order 7's.
    shop.change("users", 100, user_id=1, region="EMEA", tier="platinum")
    order(shop, 1, 110, on=1, status="cancelled")
    assert step() == ((day(0), day(1)), dict.fromkeys(TABLES, (day(1),)))
    assert revenue() == {day(2): one, day(3): one}, "a slice that became empty is gone"

    # A price that arrives late, of hour 40, is what orders 2 and 3 saw; order 1 is older. Nobody paid another price for it.
    shop.change("products", 40, product_id=1, price_usd=Decimal("9.00"), category="games")
    late = (day(2), day(3))
    assert step() == (late, {"order_lines": late, "daily_sales": late, "product_daily": ()})

    # ordered_at moved: the old day and the new one. An order deleted: its day.
    order(shop, 2, 111, on=5)
    shop.change("orders", 112, is_delete=True, order_id=3)
    assert step() == ((day(1), day(2), day(3), day(5)), dict.fromkeys(TABLES, (day(2), day(3), day(5))))
    assert revenue() == {day(5): one}


def test_a_run_that_finds_nothing_new_commits_nothing(gold: Gold) -> None:
    small_shop().refine(gold.lake)
    for name in TABLES:
        assert gold.aggregate(name).changed
    before = {name: gold.version(name) for name in TABLES}
    for name in TABLES:
        assert not gold.aggregate(name).changed
        assert not gold.aggregate(name, [day(1), day(2)]).changed, "a backfill of right slices writes nothing"
    assert {name: gold.version(name) for name in TABLES} == before


def test_a_backfill_recomputes_exactly_the_days_asked_for(gold: Gold) -> None:
    small_shop().refine(gold.lake)
    gold.aggregate("order_lines")
    table = tables.gold("order_lines")
    known = gold.lake.states.read(table)
    spoil(gold)
    assert gold.aggregate("order_lines", [day(1), day(2)]).slices == (day(1), day(2))
    assert {row["ordered_on"]: row["quantity"] for row in gold.rows("order_lines")} == {day(1): 1, day(2): 1, day(3): 77}
    assert gold.lake.states.read(table) == known, "a backfill leaves the checkpoint where it is"


def spoil(gold: Gold) -> None:
    """Give every stored line another quantity."""
    table = tables.gold("order_lines")
    log, snapshot, rows = gold.lake.log(table), gold.lake.snapshot(table), gold.lake.read(table)
    place = rows.column_names.index("quantity")
    bad = rows.set_column(place, "quantity", [[77] * len(rows)])
    days = rows["ordered_on"].to_pylist()
    writes = [({"ordered_on": each}, bad.take([number]).drop_columns(["ordered_on"])) for number, each in enumerate(days)]
    commit(log, snapshot, operation="UPDATE", writes=writes, removes=snapshot.files)


@pytest.mark.spark
def test_what_one_engine_made_the_other_finds_equal(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Over tables that Spark made: each reads, compares and replaces what the other committed."""
    from lakehouse.gold.heavy import Heavy

    spark = request.getfixturevalue("spark")
    settings = empty_lake(spark, request.getfixturevalue("lake_settings"), tmp_path)
    here, there = Gold(Lake(settings)), Gold(Lake(settings), partial(Heavy, spark, settings))
    shop = small_shop()
    shop.refine(here.lake)
    days = [day(number) for number in range(1, 4)]
    for name in TABLES:
        assert here.aggregate(name).slices == tuple(days)
        assert not there.aggregate(name, days).changed
        assert spark.table(f"gold.{name}").count() == len(here.rows(name))
    order(shop, 1, 110, on=1, status="cancelled")
    order(shop, 2, 111, on=5)
    shop.refine(here.lake)
    for name in TABLES:
        assert there.aggregate(name).slices == (day(1), day(2), day(5))
        assert not here.aggregate(name, [*days, day(5)]).changed


def test_a_view_is_refused_by_name(light: Gold) -> None:
    with refused("gold.orders_live"):
        light.aggregate("orders_live")


@pytest.mark.parametrize("seed", [1])
def test_increments_equal_a_full_recomputation(gold: Gold, seed: int) -> None:
    _increments(gold, seed, steps=3)


@pytest.mark.parametrize("seed", [2, 3, *(pytest.param(seed, marks=pytest.mark.many) for seed in range(4, 14))])
def test_many_increments_equal_a_full_recomputation(light: Gold, seed: int) -> None:
    _increments(light, seed, steps=6)


def _increments(gold: Gold, seed: int, steps: int) -> None:
    chance = random.Random(seed)
    shop = Shop()
    partly = 0
    for step in range(steps):
        for number in range(60 if step == 0 else 12):
            # The first run's rows are of two runs: else the second would compute everything again.
            shop.run = 2 if number == 55 else shop.run
            _random_change(shop, chance, latest=200 + 40 * step)
        shop.refine(gold.lake)
        results = [gold.aggregate(name) for name in TABLES]
        partly += results[0].recomputed is not None
        stored = {name: gold.rows(name) for name in TABLES}
        for name in TABLES:
            assert not gold.aggregate(name, sorted({*_days(stored), *_days_of_orders(shop)})).slices, f"seed {seed}, step {step}: {name}"
    assert partly, "every increment was computed whole"


def _days(stored: dict[str, list[dict[str, Any]]]) -> set[date]:
    return {row[tables.gold(name).slice or ""] for name, rows in stored.items() for row in rows}


def _days_of_orders(shop: Shop) -> set[date]:
    """Every day that an order ever had."""
    changes = [change["values"] for each in shop.changes["orders"].values() for change in each]
    return {values["ordered_at"].date() for values in changes if "ordered_at" in values}


def test_the_comparison_sees_a_slice_that_was_forgotten(light: Gold, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = small_shop()
    shop.refine(light.lake)
    light.aggregate("order_lines")
    shop.change("products", 40, product_id=1, price_usd=Decimal("9.00"), category="games")
    shop.change("orders", 200, order_id=9, user_id=None, status="paid", ordered_at=START)
    shop.refine(light.lake)
    # The injected fault: products do not reach their orders.
    right = reach.changed_since
    monkeypatch.setattr(
        reach,
        "changed_since",
        lambda table, rows, since_run, quoted: right(table, rows, since_run if table.name != "products" else 10**9, quoted),
    )
    light.aggregate("order_lines")
    assert light.aggregate("order_lines", [day(number) for number in range(9)]).slices == (day(2), day(3))


def test_a_lost_state_is_made_again_from_the_commits(gold: Gold, light_settings: Settings) -> None:
    shop = small_shop()
    shop.refine(gold.lake)
    gold.aggregate("order_lines")
    table = tables.gold("order_lines")
    known = gold.lake.states.read(table)
    metadata = json.loads(gold.lake.snapshot(table).user_metadata or "null")
    assert metadata == known.checkpoint(), "the commit carries it"
    gold.lake.states._run("DELETE FROM ebap.table_state WHERE table_name = %s", [table.full_name], is_write=True)
    order(shop, 1, 110, on=1, status="cancelled")
    shop.refine(gold.lake)
    assert gold.aggregate("order_lines").recomputed == (day(0), day(1)), "all would have been computed"


def test_a_conflict_is_tried_again_and_the_rows_are_right(light: Gold, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shop().refine(light.lake)
    from lakehouse.gold import light as module

    tries = []

    def busy(*arguments: Any, **options: Any) -> int:
        tries.append(options["operation"])
        if len(tries) == 1:
            raise ConflictError("another run was first")
        return commit(*arguments, **options)

    monkeypatch.setattr(module, "commit", busy)
    assert light.aggregate("order_lines").changed
    assert len(tries) == 2
    assert len(light.rows("order_lines")) == 3


def test_a_column_declared_hashed_is_stored_as_its_hmac(light: Gold, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shop().refine(light.lake)
    light.aggregate("order_lines")
    secret = light.lake.settings.secret_file(pseudonyms.SECRET)
    secret.write_text("a secret of this test")
    secret.chmod(0o600)
    sales, known = tables.gold("daily_sales"), tables.gold
    hashed = Column(name="region", type="STRING", doc="Hash of the region.", pii=True, hashed=True)
    declared = replace(sales, columns=tuple(hashed if column.name == "region" else column for column in sales.columns))
    monkeypatch.setattr(tables, "gold", lambda name: declared if name == "daily_sales" else known(name))
    assert light.aggregate("daily_sales").changed
    wanted = hmac.new(b"a secret of this test", b"EMEA", hashlib.sha256).hexdigest()
    assert {row["region"] for row in light.rows("daily_sales")} == {wanted}
    assert not light.aggregate("daily_sales", [day(1)]).changed


def test_two_runs_of_one_snapshot_do_not_both_commit(light: Gold) -> None:
    from lakehouse.gold import inputs
    from lakehouse.gold.light import Light

    small_shop().refine(light.lake)
    pinned = inputs.pin(light.lake, tables.gold("order_lines"))
    with Light(light.lake, pinned, {}) as first, Light(light.lake, pinned, {}) as second:
        assert first.replace(None, None)
        with pytest.raises(ConflictError):
            second.replace(None, None)
    assert len(light.rows("order_lines")) == 3


def test_what_is_too_large_is_left_to_spark_and_says_so(light: Gold) -> None:
    small_shop().refine(light.lake)
    small = Lake(replace(light.lake.settings, light_rows=3))
    with refused("gold.order_lines", "EBAP_LIGHT_ROWS=3", kind=TooLargeError):
        aggregate.run(small, "order_lines")
    assert light.version("order_lines") == 0, "nothing was written"
    light.aggregate("order_lines")
    # Of a partitioned input only the days at hand count.
    assert aggregate.run(small, "daily_sales", [day(1)]).changed


def test_a_slice_is_replaced_in_one_commit_that_names_no_other_file(light: Gold) -> None:
    shop = small_shop()
    shop.refine(light.lake)
    light.aggregate("order_lines")
    order(shop, 1, 110, on=1, status="cancelled")
    shop.refine(light.lake)
    before = light.version("order_lines")
    assert light.aggregate("order_lines").slices == (day(1),)
    assert light.version("order_lines") == before + 1
    (made,) = light.lake.log(tables.gold("order_lines")).commits(before + 1, before + 1)
    assert {file.partition["ordered_on"] for file in (*made.adds, *made.removes)} == {day(1).isoformat()}


def _random_change(shop: Shop, chance: random.Random, latest: int) -> None:
    """Any change of a small world, often late, with ids that meet often; sometimes the source clock stepped back."""
    hours = chance.choice([latest - chance.random(), chance.uniform(0, latest)])
    lsn = hours + chance.choice([0, 0, 0, 15])
    number, kind = chance.randint(1, 12), chance.choice(("orders", "orders", "order_items", "users", "products"))
    small = chance.randint(1, 3)
    is_delete = chance.random() < 0.15
    if kind == "orders":
        ordered_at = START + timedelta(days=chance.randint(0, 9))
        values: dict[str, Any] = {"order_id": number, "user_id": chance.choice([1, 2, 3, None]), "ordered_at": ordered_at, "status": "paid"}
    elif kind == "order_items":
        values = {"order_id": number, "line_no": chance.randint(1, 2), "product_id": small, "quantity": chance.randint(1, 9)}
        values["unit_price_usd"] = Decimal("1.00")
    elif kind == "users":
        values = {"user_id": small, "region": chance.choice(["EMEA", "APAC", None]), "tier": str(chance.random())}
    else:
        values = {"product_id": small, "price_usd": Decimal(chance.randint(1, 10**6)) / 100, "category": "toys"}
    shop.change(kind, hours, lsn=lsn, is_delete=is_delete, **values)
