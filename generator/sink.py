"""Writer to the shop's database: one round trip and one transaction per operation."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from generator import statements
from generator.operation import Article, Operation, Order, Purchase, Snapshot
from lakehouse.errors import EbapError

SCHEMA_FILE = Path(__file__).with_name("schema.sql")
_CONNECT_TIMEOUT_S = 5
_RESERVED = {"users": 20, "products": 5, "orders": 50}  # keys reserved at once; a restart leaves the rest as a gap
_DELIVERED_KEPT = 20_000  # the newest ones, some of which will be returned
_CANCELLED_KEPT = 1_000

# Rows of other writers with values that are unusable here (NaN, infinity) are skipped.
_ORDERS = """
WITH wanted AS (
    SELECT * FROM shop.orders WHERE status IN ('placed', 'paid', 'shipped')
    UNION ALL (SELECT * FROM shop.orders WHERE status = 'delivered' ORDER BY order_id DESC LIMIT %s)
    UNION ALL (SELECT * FROM shop.orders WHERE status = 'cancelled' ORDER BY order_id DESC LIMIT %s)
)
SELECT o.order_id, o.user_id, o.status::text, o.updated_at,
       array_remove(array_agg(i.product_id ORDER BY i.line_no), NULL), array_remove(array_agg(i.quantity ORDER BY i.line_no), NULL)
FROM wanted AS o LEFT JOIN shop.order_items AS i USING (order_id)
WHERE o.updated_at BETWEEN '2000-01-01' AND '9000-01-01'
GROUP BY o.order_id, o.user_id, o.status, o.updated_at ORDER BY o.order_id
"""
_PRODUCTS = """
SELECT product_id, price_usd, stock, is_active FROM shop.products WHERE price_usd <> 'NaN' ORDER BY product_id
"""
_NEWEST = """
SELECT max(ordered_at), max(order_id) FROM shop.orders WHERE ordered_at BETWEEN '2000-01-01' AND now() + interval '1 day'
"""
_PURCHASES = """
SELECT o.order_id, o.user_id, o.checkout_id::text, o.ordered_at, array_remove(array_agg(i.product_id ORDER BY i.line_no), NULL)
FROM shop.orders AS o LEFT JOIN shop.order_items AS i USING (order_id)
WHERE o.order_id <= %s AND o.checkout_id IS NOT NULL AND o.ordered_at BETWEEN '2000-01-01' AND now() + interval '1 day'
GROUP BY o.order_id ORDER BY o.ordered_at, o.order_id
"""


class LostConnectionError(EbapError):
    """The connection to the database was lost; whether the last operation was committed is unknown."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the shop's database is not available ({reason})", "run `make up`, or set EBAP_SOURCE_DSN")


class RefusedError(EbapError):
    """The database refused an operation because of a concurrent change by another writer."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the shop's database refused a row ({reason})", "another writer changed the shop; run the command again")


class PostgresSink:
    """A connection to the shop. Commits do not wait for the disk; `settle` makes them durable."""

    def __init__(self, dsn: str, password: str) -> None:
        self._reserved: dict[str, deque[int]] = defaultdict(deque)
        try:
            self._connection = psycopg2.connect(
                dsn, password=password, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ebap-generator"
            )
        except psycopg2.OperationalError as error:
            raise LostConnectionError(one_line(error)) from error
        # Several statements sent as one string are one transaction in one round trip, which is never left open.
        self._connection.autocommit = True
        self._run("SET synchronous_commit = off")

    def close(self) -> None:
        """Close the connection; the last commits may not be durable yet."""
        self._connection.close()

    def settle(self) -> None:
        """Make every commit so far durable, without changing the shop."""
        # A synchronous commit makes all earlier ones durable. nextval is the smallest write, logged once in 32 calls.
        self._run("SET synchronous_commit = on")
        self._reserved["orders"].extend(self.reserve_many("orders", 33))
        self._run("SET synchronous_commit = off")

    def create_schema(self) -> None:
        """Create missing objects of schema `shop`."""
        self._run(SCHEMA_FILE.read_text())

    def apply(self, operation: Operation, *, is_durable: bool = False) -> None:
        """Commit one operation, to the disk if `is_durable`. Raises LostConnectionError, or RefusedError where nothing of it was done."""
        values = tuple(value for statement in operation.statements for value in statement.values)
        first = ["SET LOCAL synchronous_commit = on"] if is_durable else []
        self._run("; ".join([*first, *(statement.sql for statement in operation.statements)]), values)

    def has_order(self, order_id: int, checkout_id: str) -> bool:
        """Whether that order was committed."""
        sql = "SELECT EXISTS (SELECT FROM shop.orders WHERE order_id = %s AND checkout_id = %s)"
        return bool(self._rows(sql, (order_id, checkout_id))[0][0])

    def newest_order(self, before: int | None) -> int:
        """The highest number of an order, of those below `before` if there is one; 0 if there is none."""
        return self._rows("SELECT coalesce(max(order_id), 0) FROM shop.orders WHERE order_id < coalesce(%s, order_id + 1)", (before,))[0][0]

    def purchases(self, last_order_id: int) -> list[Purchase]:
        """The orders up to that number that have a checkout, in the order of `ordered_at`."""
        rows = self._rows(_PURCHASES, (last_order_id,))
        return [Purchase(row[0], row[1], row[2], row[3], tuple(row[4])) for row in rows]

    def homes(self) -> list[tuple[int, str, str]]:
        """Each user with region and country."""
        return self._rows("SELECT user_id, region, country FROM shop.users ORDER BY user_id")  # type: ignore[return-value]

    def product_ids(self) -> list[int]:
        """The products, in ascending order."""
        return [row[0] for row in self._rows("SELECT product_id FROM shop.products ORDER BY product_id")]

    def reserve(self, table: str) -> int:
        """The next key of a table, reserved from its sequence."""
        if not self._reserved[table]:
            self._reserved[table].extend(self.reserve_many(table, _RESERVED[table]))
        return self._reserved[table].popleft()

    def reserve_many(self, table: str, count: int) -> list[int]:
        """That many keys of a table, in ascending order."""
        key = {"users": "user_id", "products": "product_id", "orders": "order_id"}[table]
        rows = self._rows("SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)", (f"shop.{table}", key, count))
        return [row[0] for row in rows]

    def insert_many(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows of `users` or `products`, all or none."""
        columns = {"users": statements.USER_COLUMNS, "products": statements.PRODUCT_COLUMNS}[table]
        with self._connection.cursor() as cursor:
            execute_values(cursor, f"INSERT INTO shop.{table} ({columns}) VALUES %s", rows, page_size=max(len(rows), 1))

    def has_rows(self, table: str) -> bool:
        """Whether a table has rows."""
        return bool(self._rows(f"SELECT EXISTS (SELECT FROM shop.{table})")[0][0])

    def load(self) -> Snapshot:
        """The current state of the shop. Raises EbapError if there are no products."""
        users = self._rows("SELECT user_id, tier::text FROM shop.users ORDER BY user_id")
        articles = [Article(*row) for row in self._rows(_PRODUCTS)]
        if not articles:
            raise EbapError("the shop has no products", "run `python -m generator seed` first")
        orders = [
            Order(row[0], row[1], row[2], row[3], tuple(zip(row[4], row[5], strict=True)))
            for row in self._rows(_ORDERS, (_DELIVERED_KEPT, _CANCELLED_KEPT))
        ]
        newest_at, last_order_id = self._rows(_NEWEST)[0]
        return Snapshot(tuple(users), tuple(articles), tuple(orders), newest_at, last_order_id or 0)

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self._run(sql, values, is_query=True)

    def _run(self, sql: str, values: tuple[Any, ...] | None = None, *, is_query: bool = False) -> list[tuple[Any, ...]]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if is_query else []
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName) as error:
            raise EbapError(f"{one_line(error)}", "run `python -m generator schema`, then `python -m generator seed`") from error
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise LostConnectionError(one_line(error)) from error
        except (psycopg2.IntegrityError, psycopg2.DataError) as error:
            raise RefusedError(one_line(error)) from error
        except psycopg2.Error as error:
            raise EbapError(f"{one_line(error)}", "give EBAP_SOURCE_DSN the owner of schema shop") from error


def one_line(error: Exception) -> str:
    """The first line of a database error."""
    return str(error).strip().split("\n")[0] or type(error).__name__
