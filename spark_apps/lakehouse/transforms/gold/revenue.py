"""Lines that count as sold, by the platform's one definition of revenue."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.definitions import COUNTED_STATUSES


def counted_lines(order_lines: DataFrame) -> DataFrame:
    """The order lines that count, with `day` and the line's exact `line_revenue_usd` (not rounded: DECIMAL(21,2))."""
    is_counted = F.col("status").isin(*COUNTED_STATUSES)
    revenue = F.col("quantity") * F.col("unit_price_usd")
    return order_lines.where(is_counted).withColumns({"day": F.col("ordered_on"), "line_revenue_usd": revenue})
