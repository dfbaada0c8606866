"""`product_daily`: what each article sold a day."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.transforms.gold.revenue import counted_lines

SLICED_BY = {"order_lines": "ordered_on"}


def product_daily(order_lines: DataFrame) -> DataFrame:
    """One row per day and article with a counted line."""
    groups = counted_lines(order_lines).groupBy("day", "product_id")
    return groups.agg(
        F.sum("quantity").cast("BIGINT").alias("units"),
        F.sum("line_revenue_usd").cast("DECIMAL(18,2)").alias("revenue_usd"),
    )
