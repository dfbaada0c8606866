"""`order_lines`: every line of a live order with what was true when the order was first committed.

The instant is `_valid_from` of the order's first version ever: an order that is deleted and entered again keeps the instant, and
the user, of its first life. An order whose version is not known (yet) has no instant; its as-of values are then assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from lakehouse.transforms.gold.as_of import as_of
from lakehouse.transforms.gold.reach import changed_keys, changed_since

SLICED_BY = {"orders": "CAST(ordered_at AS DATE)"}
# Read as of the order. They have to be tracked columns: the reach of a change counts on it.
USER_VALUES = ("region", "tier")
PRODUCT_VALUES = ("price_usd", "category")


def order_lines(
    orders: DataFrame, orders_history: DataFrame, order_items: DataFrame, products_history: DataFrame, users_history: DataFrame
) -> DataFrame:
    """One row per line of a live order."""
    heads = orders.select("order_id", "status", F.expr(SLICED_BY["orders"]).alias("ordered_on"))
    heads = heads.join(_first_commits(orders_history), on="order_id", how="left")
    heads = as_of(heads, users_history, key="user_id", at="_first_at", values=USER_VALUES, assumed="_is_user_assumed")
    items = order_items.select("order_id", "line_no", "product_id", "quantity", "unit_price_usd")
    lines = items.join(heads, on="order_id", how="inner")
    lines = as_of(lines, products_history, key="product_id", at="_first_at", values=PRODUCT_VALUES, assumed="_is_product_assumed")
    return lines.select(
        "order_id",
        "line_no",
        "ordered_on",
        "product_id",
        "quantity",
        "unit_price_usd",
        "status",
        F.col("price_usd").alias("list_price_usd"),
        "category",
        "region",
        "tier",
        (F.col("_is_user_assumed") | F.col("_is_product_assumed")).alias("is_assumed"),
    )


def touched_slices(
    frames: Mapping[str, DataFrame], changes: Mapping[str, DataFrame], marks: Mapping[str, int], stored: DataFrame
) -> DataFrame:
    """The days, as the one column `ordered_on`, that rows changed since the marks (`_run` at or above) can reach.

    `frames` are what the transform takes, `changes` the stored changes of the source tables that moved, with a mark each,
    `stored` the gold table as it is now. An order reaches the day it has and every day its lines stand in; a line reaches its
    order; a user or product reaches the orders whose instant is not before the change.
    """
    touched = [changed_keys(changes[name], marks[name], "order_id") for name in ("orders", "order_items") if name in changes]
    commits = _first_commits(frames["orders_history"])
    if "users" in changes:
        touched.append(_reached(commits, changed_since(changes["users"], marks["users"], "user_id"), "user_id"))
    if "products" in changes:
        sold = frames["order_items"].select("order_id", "product_id").join(commits, on="order_id", how="inner")
        touched.append(_reached(sold, changed_since(changes["products"], marks["products"], "product_id"), "product_id"))
    keys = reduce(DataFrame.union, touched).distinct()
    standing = stored.select("order_id", "ordered_on")
    wanted = frames["orders"].select("order_id", F.expr(SLICED_BY["orders"]).alias("ordered_on"))
    return standing.union(wanted).join(keys, on="order_id", how="left_semi").select("ordered_on").distinct()


def _first_commits(orders_history: DataFrame) -> DataFrame:
    """Per order: `_first_at`, when it was first committed, and the user it named then."""
    return orders_history.groupBy("order_id").agg(
        F.min("_valid_from").alias("_first_at"), F.min_by("user_id", "_valid_from").alias("user_id")
    )


def _reached(facts: DataFrame, changed: DataFrame, key: str) -> DataFrame:
    """Orders of `facts` (order_id, key, _first_at) that a changed key reaches."""
    is_reached = F.col("_since").isNull() | (F.col("_first_at") >= F.col("_since"))
    return facts.join(changed, on=key, how="inner").where(is_reached).select("order_id")
