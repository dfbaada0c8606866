"""`daily_sales` and `product_daily`: what counts, to the cent."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from lakehouse import tables
from lakehouse.transforms.gold.daily_sales import daily_sales
from lakehouse.transforms.gold.product_daily import product_daily

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

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


@pytest.fixture(scope="module")
def lines(spark: SparkSession) -> DataFrame:
    rows = [(o, n, d, p, q, Decimal(price), s, None, c, r, None, False) for o, n, d, p, q, price, s, c, r in LINES]
    return spark.createDataFrame(rows, tables.gold("order_lines").schema_ddl())


def test_daily_sales_counts_paid_shipped_and_delivered_lines_to_the_cent(lines: DataFrame) -> None:
    assert sorted((tuple(row) for row in daily_sales(lines).collect()), key=str) == sorted(
        [
            (D1, "toys", "EMEA", 1, 4, Decimal("10.29")),
            (D1, "toys", None, 2, 3, Decimal("3.00")),
            (D1, "gold bars", "EMEA", 1, 1_000_000, Decimal("99999999990000.00")),
        ],
        key=str,
    )


def test_product_daily_counts_the_same_lines(lines: DataFrame) -> None:
    assert sorted(tuple(row) for row in product_daily(lines).collect()) == [
        (D1, 7, 6, Decimal("3.30")),
        (D1, 8, 1, Decimal("9.99")),
        (D1, 9, 1_000_000, Decimal("99999999990000.00")),
    ]
