"""`daily_sales` and `product_daily`: what counts, to the cent, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from lakehouse import tables
from tests.unit.gold_tables import on_duckdb, on_spark

D1, D2 = date(2026, 3, 1), date(2026, 3, 2)
# order, line, day, product, quantity, unit price, status, category, region
LINES = [
    (1, 1, D1, 7, 3, "0.10", "paid", "toys", "EMEA"),  # three times ten cents is thirty, not 0.30000000000000004
    (1, 2, D1, 8, 1, "9.99", "paid", "toys", "EMEA"),  # a second line of the same order: one order, not two
    (2, 1, D1, 7, 1, "1.00", "shipped", "toys", None),  # a guest: a group of its own
    (3, 1, D1, 7, 2, "1.00", "delivered", "toys", None),
    (4, 1, D1, 7, 5, "1.00", "cancelled", "toys", "EMEA"),  # counts nothing
    (5, 1, D1, 7, 5, "1.00", "returned", "toys", "EMEA"),  # counts nothing
    (6, 1, D2, 7, 5, "1.00", "placed", "toys", "EMEA"),  # not paid yet: its day has no row
    (7, 1, D1, 9, 1_000_000, "99999999.99", "paid", "gold bars", "EMEA"),  # the longest money there is
]


NAMES = ("order_id", "line_no", "ordered_on", "product_id", "quantity", "unit_price_usd", "status", "category", "region")
DRAWN = {"gold.order_lines": (NAMES, [(o, n, d, p, q, Decimal(price), s, c, r) for o, n, d, p, q, price, s, c, r in LINES])}


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def made(request: pytest.FixtureRequest) -> Callable[[str], list[tuple[Any, ...]]]:
    """The rows of a gold table."""
    engine = on_duckdb if request.param == "duckdb" else partial(on_spark, request.getfixturevalue("spark"))
    return lambda name: [tuple(row.values()) for row in engine(tables.gold(name), DRAWN)]


def test_daily_sales_counts_paid_shipped_and_delivered_lines_to_the_cent(made: Callable[[str], list[tuple[Any, ...]]]) -> None:
    assert sorted(made("daily_sales"), key=str) == sorted(
        [
            (D1, "toys", "EMEA", 1, 4, Decimal("10.29")),
            (D1, "toys", None, 2, 3, Decimal("3.00")),
            (D1, "gold bars", "EMEA", 1, 1_000_000, Decimal("99999999990000.00")),
        ],
        key=str,
    )


def test_product_daily_counts_the_same_lines(made: Callable[[str], list[tuple[Any, ...]]]) -> None:
    assert sorted(made("product_daily")) == [
        (D1, 7, 6, Decimal("3.30")),
        (D1, 8, 1, Decimal("9.99")),
        (D1, 9, 1_000_000, Decimal("99999999990000.00")),
    ]
