"""One business operation as data: its name, its time, and the SQL of its transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Statement:
    """One SQL statement with its values, as psycopg2 takes them."""

    sql: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Operation:
    """One business step; its statements are committed together or not at all. `at` is the shop's clock."""

    kind: str
    at: datetime
    statements: tuple[Statement, ...]


@dataclass
class Article:
    """A product as far as the shop needs to know it to sell it."""

    product_id: int
    price_usd: Decimal
    stock: int
    is_active: bool


@dataclass
class Order:
    """An order that something may still happen to; `lines` are (product_id, quantity)."""

    order_id: int
    user_id: int | None
    status: str
    changed_at: datetime
    lines: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Snapshot:
    """What a database holds of the shop, in the order of the keys; the world begins from it.

    `users` are (user_id, tier). `newest_at` is the youngest instant of any order by the shop's clock, None without orders.
    """

    users: tuple[tuple[int, str], ...] = ()
    articles: tuple[Article, ...] = ()
    orders: tuple[Order, ...] = ()
    newest_at: datetime | None = None
    last_order_id: int = 0
