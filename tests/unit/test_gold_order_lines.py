"""`order_lines`: what was true when the order was first committed, at every boundary, and one row a line, on both engines."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from lakehouse import tables
from lakehouse.gold import queries
from tests.unit.gold_tables import Row, on_duckdb, on_spark

_START = datetime(2026, 3, 1, tzinfo=UTC)
_DAY = datetime(2026, 2, 10, 12, tzinfo=UTC)
TICK = 1e-6  # seconds: the microsecond of a commit time


def at(seconds: float) -> datetime:
    """That many seconds after a fixed instant."""
    return _START + timedelta(seconds=seconds)


PRODUCTS = [
    # A price that changes at 20: the two versions touch.
    (1, Decimal("1.00"), "toys", at(10), at(20)),
    (1, Decimal("2.00"), "games", at(20), None),
    # Taken out at 20 and entered again at 30: a gap between.
    (2, Decimal("3.00"), "toys", at(10), at(20)),
    (2, Decimal("4.00"), "toys", at(30), None),
]
USERS = [
    # Moves up a tier at 20, closes the account at 40.
    (1, "EMEA", "silver", at(10), at(20)),
    (1, "EMEA", "gold", at(20), at(40)),
    (2, "APAC", "bronze", at(10), None),
    # Never told a region.
    (3, None, "bronze", at(10), None),
]
# name of the case: versions of the order as (instant, user), product of its one line
CASES: dict[str, tuple[list[tuple[float, int | None]], int]] = {
    "at the start of a version": ([(20, 2)], 1),
    "a tick before the end of a version": ([(20 - TICK, 2)], 1),
    "a tick after the start of a version": ([(20 + TICK, 2)], 1),
    "older than the first version": ([(10 - TICK, 2)], 1),
    "at the first version": ([(10, 2)], 1),
    "in a gap": ([(25, 2)], 2),
    "at the start of a gap": ([(20, 2)], 2),
    "after a gap": ([(30, 2)], 2),
    "product never seen": ([(15, 2)], 9),
    "user never seen": ([(15, 9)], 1),
    "guest": ([(15, None)], 1),
    "no region": ([(15, 3)], 1),
    "account closed before": ([(50, 1)], 1),
    # The shop sets user_id to NULL when the account is deleted: the first version still names it.
    "account closed since": ([(15, 1), (40, None)], 1),
    # Deleted and entered again at 45: the first life counts.
    "entered again": ([(15, 1), (45, 2)], 1),
}
NUMBERS = {name: number for number, name in enumerate(CASES, start=100)}


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def lines(request: pytest.FixtureRequest) -> dict[str, Row]:
    """The one line of each case."""
    versions = [(NUMBERS[name], user, at(second)) for name, (steps, _) in CASES.items() for second, user in steps]
    items = [(number, 1, CASES[name][1], 2, Decimal("5.00")) for name, number in NUMBERS.items()]
    # A line whose order is not there: no row.
    items.append((999, 1, 1, 2, Decimal("5.00")))
    drawn: dict[str, Any] = {
        "silver.orders": (("order_id", "status", "ordered_at"), [(number, "paid", _DAY) for number in NUMBERS.values()]),
        "silver.orders_history": (("order_id", "user_id", "_valid_from"), versions),
        "silver.order_items": (("order_id", "line_no", "product_id", "quantity", "unit_price_usd"), items),
        "silver.products_history": (("product_id", "price_usd", "category", "_valid_from", "_valid_to"), PRODUCTS),
        "silver.users_history": (("user_id", "region", "tier", "_valid_from", "_valid_to"), USERS),
    }
    table = tables.gold("order_lines")
    made = on_duckdb(table, drawn) if request.param == "duckdb" else on_spark(request.getfixturevalue("spark"), table, drawn)
    names = {number: name for name, number in NUMBERS.items()}
    assert sorted(row["order_id"] for row in made) == sorted(names), "one row a line of a live order"
    return {names[row["order_id"]]: row for row in made}


@pytest.mark.parametrize(
    ("case", "price", "category", "is_assumed"),
    [
        ("at the start of a version", "2.00", "games", False),
        ("a tick before the end of a version", "1.00", "toys", False),
        ("a tick after the start of a version", "2.00", "games", False),
        ("at the first version", "1.00", "toys", False),
        ("older than the first version", "1.00", "toys", True),
        ("in a gap", "3.00", "toys", True),
        ("at the start of a gap", "3.00", "toys", True),
        ("after a gap", "4.00", "toys", False),
    ],
)
def test_a_line_takes_the_product_as_it_was(lines: dict[str, Row], case: str, price: str, category: str, is_assumed: bool) -> None:
    line = lines[case]
    # User 2 stands since 10: for the case before that, the user is assumed as well.
    assert (line["list_price_usd"], line["category"], line["is_assumed"]) == (Decimal(price), category, is_assumed)


def test_a_product_nobody_knows_leaves_nulls_and_is_assumed(lines: dict[str, Row]) -> None:
    line = lines["product never seen"]
    assert (line["list_price_usd"], line["category"], line["region"], line["is_assumed"]) == (None, None, "APAC", True)


def test_a_user_nobody_knows_leaves_nulls_and_is_assumed(lines: dict[str, Row]) -> None:
    assert (lines["user never seen"]["region"], lines["user never seen"]["is_assumed"]) == (None, True)


def test_a_guest_has_no_region_and_nothing_is_assumed(lines: dict[str, Row]) -> None:
    line = lines["guest"]
    assert (line["region"], line["tier"], line["category"], line["is_assumed"]) == (None, None, "toys", False)


def test_a_user_without_a_region_is_known_all_the_same(lines: dict[str, Row]) -> None:
    assert (lines["no region"]["region"], lines["no region"]["tier"], lines["no region"]["is_assumed"]) == (None, "bronze", False)


def test_a_closed_account_gives_what_it_was_last(lines: dict[str, Row]) -> None:
    line = lines["account closed before"]
    assert (line["region"], line["tier"], line["is_assumed"]) == ("EMEA", "gold", True)


@pytest.mark.parametrize("case", ["account closed since", "entered again"])
def test_the_first_version_ever_names_the_user_and_the_instant(lines: dict[str, Row], case: str) -> None:
    assert (lines[case]["region"], lines[case]["tier"], lines[case]["is_assumed"]) == ("EMEA", "silver", False)


def test_the_day_is_the_utc_day_of_ordered_at(lines: dict[str, Row]) -> None:
    assert {line["ordered_on"] for line in lines.values()} == {date(2026, 2, 10)}


def test_an_order_without_a_version_takes_what_it_can_and_is_assumed() -> None:
    drawn: dict[str, Any] = {
        "silver.orders": (("order_id", "status", "ordered_at"), [(1, "paid", _DAY)]),
        "silver.order_items": (("order_id", "line_no", "product_id"), [(1, 1, 1)]),
        "silver.products_history": (("product_id", "price_usd", "category", "_valid_from", "_valid_to"), PRODUCTS),
    }
    (line,) = on_duckdb(tables.gold("order_lines"), drawn)
    assert (line["list_price_usd"], line["region"], line["is_assumed"]) == (Decimal("1.00"), None, True)


def test_values_read_as_of_an_order_are_tracked() -> None:
    """The reach of a change counts on it."""
    reads = queries.select(tables.gold("order_lines")).reads
    for name in ("users", "products"):
        source = tables.source(name)
        read = set(reads["silver", f"{name}_history"]) & set(source.column_names) - set(source.key)
        assert read, name
        assert read <= set(source.tracked)
