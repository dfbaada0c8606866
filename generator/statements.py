"""The shop's SQL statements; values are always bound as parameters."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from generator.operation import Statement

USER_COLUMNS = (
    "user_id, email, full_name, region, country, tier, marketing_opt_in, interests, preferences, birth_on, created_at, updated_at"
)
PRODUCT_COLUMNS = (
    "product_id, sku, name, category, price_usd, cost_usd, stock, weight_kg, is_active, tags, attributes, image_sha256, description, "
    "launched_on, created_at, updated_at"
)


def _insert(table: str, columns: str) -> str:
    return f"INSERT INTO shop.{table} ({columns}) VALUES ({', '.join(['%s'] * len(columns.split(', ')))})"


INSERT_USER = _insert("users", USER_COLUMNS)
INSERT_PRODUCT = _insert("products", PRODUCT_COLUMNS)
INSERT_ORDER = _insert("orders", "order_id, user_id, status, ordered_at, total_usd, coupon_code, shipping_address, checkout_id, updated_at")
INSERT_LINES = (
    "INSERT INTO shop.order_items (order_id, line_no, product_id, quantity, unit_price_usd, updated_at) "
    "SELECT %s, line.* , %s FROM unnest(%s::int[], %s::bigint[], %s::int[], %s::numeric[]) AS line"
)
MOVE_STOCK = (
    "UPDATE shop.products AS p SET stock = p.stock + moved.quantity, updated_at = %s "
    "FROM unnest(%s::bigint[], %s::int[]) AS moved(product_id, quantity) WHERE p.product_id = moved.product_id"
)
SET_STATUS = "UPDATE shop.orders SET status = %s, updated_at = %s WHERE order_id = %s"
DELETE_USER = "DELETE FROM shop.users WHERE user_id = %s"
DELETE_ORDER = "DELETE FROM shop.orders WHERE order_id = %s"


def set_user(at: datetime, user_id: int, **values: Any) -> Statement:
    """An UPDATE of those columns of one user."""
    return _set("users", "user_id", user_id, {**values, "updated_at": at})


def set_product(at: datetime, product_id: int, **values: Any) -> Statement:
    """An UPDATE of those columns of one product."""
    return _set("products", "product_id", product_id, {**values, "updated_at": at})


def move_stock(at: datetime, lines: tuple[tuple[int, int], ...], sign: int) -> Statement:
    """Add the units of order lines to the stock (+1) or subtract them (-1)."""
    return Statement(MOVE_STOCK, (at, [line[0] for line in lines], [sign * line[1] for line in lines]))


def _set(table: str, key: str, key_value: int, values: dict[str, Any]) -> Statement:
    return Statement(
        f"UPDATE shop.{table} SET {', '.join(f'{name} = %s' for name in values)} WHERE {key} = %s", (*values.values(), key_value)
    )
