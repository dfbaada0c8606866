"""`daily_sales`: what was sold a day, by category and region."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.transforms.gold.revenue import counted_lines

SLICED_BY = {"order_lines": "ordered_on"}


def daily_sales(order_lines: DataFrame) -> DataFrame:
    """One row per day, category and region with a counted line; a NULL region (guests) is a group of its own."""
    groups = counted_lines(order_lines).groupBy("day", "category", "region")
    return groups.agg(
        F.count_distinct("order_id").alias("orders"),
        F.sum("quantity").cast("BIGINT").alias("units"),
        F.sum("line_revenue_usd").cast("DECIMAL(18,2)").alias("revenue_usd"),
    )
