"""`aggregate`: touched slices only, late changes included, the same rows as a full recomputation, and nothing twice."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import aggregate
from lakehouse import storage, tables
from lakehouse.lake import state
from lakehouse.settings import Settings
from lakehouse.transforms import gold
from lakehouse.transforms.gold import order_lines as module
from tests.conftest import empty_lake
from tests.unit.silver_shop import START, Shop

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLES = ("order_lines", "daily_sales", "product_daily")
FIRST = START.date()


@pytest.fixture
def lake(spark: SparkSession, lake_settings: Settings, tmp_path: Any) -> Settings:
    """An empty lake of this test's own."""
    return empty_lake(spark, lake_settings, tmp_path)


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


def test_a_change_reaches_the_days_it_must_and_no_other(spark: SparkSession, lake: Settings) -> None:
    shop = small_shop()

    def step() -> tuple[Any, dict[str, tuple[Any, ...]]]:
        """The days of order_lines that were computed, and per table those that were replaced."""
        shop.refine(spark)
        results = [aggregate.run(spark, lake, name) for name in TABLES]
        return results[0].recomputed, {result.table: result.slices for result in results}

    def revenue() -> dict[date, Decimal]:
        return {row.day: row.revenue_usd for row in spark.table("gold.daily_sales").collect()}

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


def test_a_run_that_finds_nothing_new_commits_nothing(spark: SparkSession, lake: Settings) -> None:
    small_shop().refine(spark)
    for name in TABLES:
        assert aggregate.run(spark, lake, name).changed
    names = [*(f"gold.{name}" for name in TABLES)]
    before = {name: storage.version(spark, name) for name in names}
    for name in TABLES:
        assert not aggregate.run(spark, lake, name).changed
        assert not aggregate.run(spark, lake, name, slices=[day(1), day(2)]).changed, "a backfill of right slices writes nothing"
    assert {name: storage.version(spark, name) for name in names} == before


def test_a_backfill_recomputes_exactly_the_days_asked_for(spark: SparkSession, lake: Settings) -> None:
    small_shop().refine(spark)
    aggregate.run(spark, lake, "order_lines")
    mark = state.store(lake).read(tables.gold("order_lines"))
    spark.sql("UPDATE gold.order_lines SET quantity = 77")  # spoils all three days
    assert aggregate.run(spark, lake, "order_lines", slices=[day(1), day(2)]).slices == (day(1), day(2))
    rows = {row.ordered_on: row.quantity for row in spark.table("gold.order_lines").collect()}
    assert rows == {day(1): 1, day(2): 1, day(3): 77}
    assert state.store(lake).read(tables.gold("order_lines")) == mark, "a backfill leaves the mark where it is"


def test_a_view_is_refused_by_name(spark: SparkSession, lake: Settings) -> None:
    with pytest.raises(aggregate.AggregateError, match=r"gold\.orders_live is a view"):
        aggregate.run(spark, lake, "orders_live")


@pytest.mark.parametrize("seed", [1])
def test_increments_equal_a_full_recomputation(spark: SparkSession, lake: Settings, seed: int) -> None:
    chance = random.Random(seed)
    shop = Shop()
    for step in range(3):
        for number in range(60 if step == 0 else 12):
            # The first run's rows are of two runs: else the second would compute everything again.
            shop.run = 2 if number == 55 else shop.run
            _random_change(shop, chance, latest=200 + 40 * step)
        shop.refine(spark)
        aggregate.run(spark, lake, "order_lines")
        assert _differences(spark) == [], f"seed {seed}, step {step}"


def test_the_comparison_sees_a_slice_that_was_forgotten(spark: SparkSession, lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = small_shop()
    shop.refine(spark)
    aggregate.run(spark, lake, "order_lines")
    shop.change("products", 40, product_id=1, price_usd=Decimal("9.00"), category="games")
    shop.change("orders", 200, order_id=9, user_id=None, status="paid", ordered_at=START)
    shop.refine(spark)
    # The planted fault: products do not reach their orders.
    monkeypatch.setattr(
        module, "changed_since", lambda changes, mark, key: changes.where("false").selectExpr(key, "_effective_at AS _since")
    )
    aggregate.run(spark, lake, "order_lines")
    assert {row.ordered_on for row in _differences(spark)} == {day(2), day(3)}


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


def _differences(spark: SparkSession) -> list[Any]:
    """Rows in which the stored table and a full recomputation differ, either way."""
    table = tables.gold("order_lines")
    frames = {name: spark.table(f"silver.{name}") for name in gold.parameters(table)}
    full = gold.transform(table)(**frames).select(*table.column_names)
    stored = spark.table(table.full_name)
    return full.exceptAll(stored).union(stored.exceptAll(full)).collect()
