"""One business operation as data: its name, its time, and the SQL of its transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Statement:
    """One SQL statement with its values, in psycopg2's form."""

    sql: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Purchase:
    """A new order: what the visit states in which it was made."""

    order_id: int
    user_id: int | None
    checkout_id: str
    ordered_at: datetime
    products: tuple[int, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One business operation; its statements are one transaction. `at` is the shop's clock."""

    kind: str
    at: datetime
    statements: tuple[Statement, ...]
    purchase: Purchase | None = None


@dataclass
class Article:
    """The columns of a product that are needed to sell it."""

    product_id: int
    price_usd: Decimal
    stock: int
    is_active: bool


@dataclass
class Order:
    """An order that may still change; `lines` are (product_id, quantity)."""

    order_id: int
    user_id: int | None
    status: str
    changed_at: datetime
    lines: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Snapshot:
    """The shop's state in the database, ordered by key, from which the world is built.

    `users` are (user_id, tier). `newest_at` is the latest `ordered_at` of all orders, None without orders.
    """

    users: tuple[tuple[int, str], ...] = ()
    articles: tuple[Article, ...] = ()
    orders: tuple[Order, ...] = ()
    newest_at: datetime | None = None
    last_order_id: int = 0
