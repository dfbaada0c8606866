"""Everything that may happen to a table's rows, written by several sessions at once; one seed gives each session one sequence of wishes.

Each action is one transaction. Where two sessions want the same row, the later one gives up after a while and goes on with something
else: what was done is in `done`, by name. Keys are the workload's own, few enough to be met often. No statement depends on EBAP.
"""

from __future__ import annotations

import io
import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2

from lakehouse.settings import Settings

FIRST_KEY = 900_000
_KEYS = 40
_COPIED_KEYS = range(950_000, 950_300)
_LARGE_CHARS = 9_000
_LOCK_WAIT_MS = 1500
_RECONNECT_S = 0.5

Cursor = Any
Action = Callable[[Cursor, random.Random], None]


def large(draw: random.Random) -> str:
    """Text that Postgres stores out of line whatever the column's storage: it cannot be compressed."""
    return draw.randbytes(_LARGE_CHARS // 2).hex()


def key(draw: random.Random) -> int:
    return FIRST_KEY + draw.randrange(_KEYS)


def insert_product(cursor: Cursor, draw: random.Random) -> None:
    _insert_product(cursor, draw, key(draw))


def _insert_product(cursor: Cursor, draw: random.Random, number: int) -> None:
    text = draw.choice([None, "short", large(draw)])
    cursor.execute(
        "INSERT INTO shop.products (product_id, sku, name, category, price_usd, cost_usd, stock, weight_kg, tags, attributes, image_sha256,"
        " description) VALUES (%s, %s, %s, 'workload', %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            number,
            uuid.UUID(int=draw.getrandbits(128)).hex,
            f"product {number}",
            draw.randrange(1, 99_999) / 100,
            draw.randrange(1, 99_999) / 10_000,
            draw.randrange(1000),
            draw.random(),
            [large(draw), "tag"] if draw.random() < 0.5 else None,
            json.dumps({"photo": large(draw)}),
            draw.randbytes(32),
            text,
        ),
    )


def insert_user(cursor: Cursor, draw: random.Random) -> None:
    number = key(draw)
    cursor.execute(
        "INSERT INTO shop.users (user_id, email, full_name, region, country, interests, preferences)"
        " VALUES (%s, %s, %s, 'EMEA', 'NL', %s, %s) ON CONFLICT DO NOTHING",
        (
            number,
            f"{draw.getrandbits(64)}@example.org",
            draw.choice(["Ann", "Bo", "Ćiro 'x'\n"]),
            [large(draw)],
            json.dumps({"a": large(draw)}),
        ),
    )


def insert_order(cursor: Cursor, draw: random.Random) -> None:
    _insert_order(cursor, draw, key(draw))


def _insert_order(cursor: Cursor, draw: random.Random, number: int) -> None:
    cursor.execute(
        "INSERT INTO shop.orders (order_id, total_usd, shipping_address) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (number, draw.randrange(1, 99_999) / 100, json.dumps({"street": large(draw)})),
    )


def insert_item(cursor: Cursor, draw: random.Random) -> None:
    cursor.execute(
        "INSERT INTO shop.order_items (order_id, line_no, product_id, quantity, unit_price_usd)"
        " SELECT order_id, %s, product_id, %s, 1.5 FROM"
        " (SELECT order_id FROM shop.orders WHERE order_id >= %s ORDER BY random() LIMIT 1) AS o,"
        " (SELECT product_id FROM shop.products WHERE product_id < %s LIMIT 1) p ON CONFLICT DO NOTHING",
        (draw.randrange(1, 9), draw.randrange(1, 9), FIRST_KEY, FIRST_KEY),
    )


def update_beside_large_values(cursor: Cursor, draw: random.Random) -> None:
    cursor.execute("UPDATE shop.products SET stock = %s WHERE product_id = %s", (draw.randrange(3), key(draw)))
    cursor.execute("UPDATE shop.users SET tier = %s WHERE user_id = %s", (draw.choice(["bronze", "gold"]), key(draw)))
    cursor.execute("UPDATE shop.orders SET status = %s WHERE order_id = %s", (draw.choice(["placed", "paid", "shipped"]), key(draw)))


def update_large_value(cursor: Cursor, draw: random.Random) -> None:
    text = draw.choice([None, "short again", large(draw), large(draw)])
    cursor.execute("UPDATE shop.products SET description = %s WHERE product_id = %s", (text, key(draw)))


def update_to_the_same(cursor: Cursor, draw: random.Random) -> None:
    cursor.execute("UPDATE shop.products SET name = name WHERE product_id = %s", (key(draw),))
    cursor.execute("UPDATE shop.users SET full_name = full_name WHERE user_id = %s", (key(draw),))


def delete(cursor: Cursor, draw: random.Random) -> None:
    cursor.execute("DELETE FROM shop.products WHERE product_id = %s", (key(draw),))
    cursor.execute("DELETE FROM shop.users WHERE user_id = %s", (key(draw),))


def delete_order(cursor: Cursor, draw: random.Random) -> None:
    cursor.execute("DELETE FROM shop.orders WHERE order_id = %s", (key(draw),))


def delete_and_insert_the_same(cursor: Cursor, draw: random.Random) -> None:
    cursor.execute(
        "WITH gone AS (DELETE FROM shop.products WHERE product_id = %s RETURNING *) SELECT * FROM gone",
        (key(draw),),
    )
    for row in cursor.fetchall():
        values = [json.dumps(value) if isinstance(value, dict) else value for value in row]
        cursor.execute(f"INSERT INTO shop.products VALUES ({', '.join(['%s'] * len(values))})", values)


def delete_and_insert_another(cursor: Cursor, draw: random.Random) -> None:
    number = key(draw)
    cursor.execute("DELETE FROM shop.products WHERE product_id = %s", (number,))
    _insert_product(cursor, draw, number)


def move_key(cursor: Cursor, draw: random.Random) -> None:
    _move(cursor, "products", key(draw), key(draw))


def move_user(cursor: Cursor, draw: random.Random) -> None:
    _move(cursor, "users", key(draw), key(draw))


def move_line(cursor: Cursor, draw: random.Random) -> None:
    cursor.execute(
        "UPDATE shop.order_items SET line_no = line_no + 100 WHERE order_id >= %s AND line_no < 100 AND line_no = %s",
        (FIRST_KEY, draw.randrange(1, 9)),
    )


def move_key_and_update(cursor: Cursor, draw: random.Random) -> None:
    new = key(draw)
    _move(cursor, "products", key(draw), new)
    cursor.execute("UPDATE shop.products SET stock = stock + 1 WHERE product_id = %s", (new,))


def update_and_move_key(cursor: Cursor, draw: random.Random) -> None:
    old = key(draw)
    cursor.execute("UPDATE shop.products SET description = %s WHERE product_id = %s", (large(draw), old))
    _move(cursor, "products", old, key(draw))


def move_key_and_back(cursor: Cursor, draw: random.Random) -> None:
    old, away = key(draw), FIRST_KEY + _KEYS + draw.randrange(5)
    _move(cursor, "products", old, away)
    cursor.execute("UPDATE shop.products SET stock = %s WHERE product_id = %s", (draw.randrange(3), away))
    _move(cursor, "products", away, old)


def swap_keys(cursor: Cursor, draw: random.Random) -> None:
    one, other, third = key(draw), key(draw), FIRST_KEY + _KEYS + 5 + draw.randrange(5)
    if one != other:
        _move(cursor, "products", one, third)
        _move(cursor, "products", other, one)
        _move(cursor, "products", third, other)


def _move(cursor: Cursor, table: str, old: int, new: int) -> None:
    """Leave every other value alone, the large ones too; where the new key is taken, nothing is done."""
    column = {"products": "product_id", "users": "user_id"}[table]
    cursor.execute(
        f"UPDATE shop.{table} SET {column} = %s WHERE {column} = %s AND NOT EXISTS (SELECT FROM shop.{table} WHERE {column} = %s)",
        (new, old, new),
    )


def rolled_back(cursor: Cursor, draw: random.Random) -> None:
    update_beside_large_values(cursor, draw)
    delete(cursor, draw)
    cursor.execute("ROLLBACK")


def savepoints(cursor: Cursor, draw: random.Random) -> None:
    update_beside_large_values(cursor, draw)
    cursor.execute("SAVEPOINT here")
    delete(cursor, draw)
    move_key(cursor, draw)
    cursor.execute("ROLLBACK TO SAVEPOINT here")
    update_large_value(cursor, draw)
    cursor.execute("SAVEPOINT there")
    update_beside_large_values(cursor, draw)


def copy_many(cursor: Cursor, draw: random.Random) -> None:
    """Rows of one COPY share a log position."""
    cursor.execute("DELETE FROM shop.users WHERE user_id >= %s", (_COPIED_KEYS.start,))
    name = f"copied {draw.getrandbits(16)}"
    rows = "".join(f"{number}\t{number}@copied.org\t{name}\tAPAC\tJP\n" for number in _COPIED_KEYS)
    cursor.copy_expert("COPY shop.users (user_id, email, full_name, region, country) FROM STDIN", io.StringIO(rows))


def truncate_items(cursor: Cursor, draw: random.Random) -> None:
    cursor.execute("TRUNCATE shop.order_items")
    if draw.random() < 0.5:
        insert_item(cursor, draw)


def truncate_orders(cursor: Cursor, draw: random.Random) -> None:
    """With CASCADE, and what was there comes back in the same transaction, by half."""
    keep = draw.random() < 0.5
    cursor.execute("SELECT order_id FROM shop.orders WHERE order_id >= %s LIMIT 5", (FIRST_KEY,))
    numbers = [row[0] for row in cursor.fetchall()]
    cursor.execute("TRUNCATE shop.orders CASCADE")
    for number in numbers if keep else ():
        _insert_order(cursor, draw, number)


def add_and_drop_a_column(cursor: Cursor, draw: random.Random) -> None:
    """An undeclared column comes, carries values and goes; the declared ones must not notice."""
    cursor.execute("ALTER TABLE shop.users ADD COLUMN IF NOT EXISTS note text DEFAULT 'new'")
    cursor.execute("COMMIT")
    cursor.execute("UPDATE shop.users SET note = %s, tier = 'platinum' WHERE user_id = %s", (large(draw), key(draw)))
    cursor.execute("COMMIT")
    cursor.execute("ALTER TABLE shop.users DROP COLUMN note")


def read_again(cursor: Cursor, draw: random.Random) -> None:
    """Ask the capture for an incremental snapshot of one table, which goes on while rows change."""
    table = draw.choice(["users", "products", "orders", "order_items"])
    data = json.dumps({"type": "incremental", "data-collections": [rf"shop\.{table}"]})
    cursor.execute("INSERT INTO ebap.signal (id, type, data) VALUES (%s, 'execute-snapshot', %s)", (uuid.uuid4().hex, data))


FREQUENT: tuple[Action, ...] = (insert_product, insert_user, insert_order, insert_item, update_beside_large_values, update_large_value)
USUAL: tuple[Action, ...] = (
    update_to_the_same,
    delete,
    delete_order,
    delete_and_insert_the_same,
    delete_and_insert_another,
    move_key,
    move_user,
    move_line,
    move_key_and_update,
    update_and_move_key,
    move_key_and_back,
    swap_keys,
    rolled_back,
    savepoints,
)
RARE: tuple[Action, ...] = (copy_many, truncate_items, truncate_orders, add_and_drop_a_column, read_again)
_WEIGHTS = [*[12] * len(FREQUENT), *[5] * len(USUAL), *[0.6] * len(RARE)]


class Workload:
    """Sessions that write until the block ends, each resting `pause_s` between two transactions; `paused` holds all of them outside one."""

    def __init__(self, settings: Settings, seed: int, sessions: int = 4, pause_s: float = 0.0) -> None:
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._settings = settings
        self._pause_s = pause_s
        self._end = threading.Event()
        self._pause = threading.Event()
        self._gates = [threading.Lock() for _ in range(sessions)]
        # One session holds each of its transactions open while the others commit many.
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(seed * 100 + number), gate, number == 0), daemon=True)
            for number, gate in enumerate(self._gates)
        ]

    def __enter__(self) -> Workload:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=60)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block no session writes, and none is in a transaction."""
        self._pause.set()
        for gate in self._gates:
            gate.acquire()
        try:
            yield
        finally:
            self._pause.clear()
            for gate in self._gates:
                gate.release()

    def _write(self, draw: random.Random, gate: threading.Lock, is_long: bool) -> None:
        while not self._end.is_set():
            # The source is killed by the test: connect again until it is back.
            with suppress(psycopg2.OperationalError, psycopg2.InterfaceError), closing(self._connect()) as connection:
                while not self._end.is_set():
                    # A lock is not fair: whoever pauses would wait for ever.
                    while self._pause.is_set() and not self._end.wait(0.05):
                        pass
                    with gate:
                        self._act(connection, draw, is_long)
                    self._end.wait(self._pause_s)
            self._end.wait(_RECONNECT_S)

    def _act(self, connection: Any, draw: random.Random, is_long: bool) -> None:
        (action,) = draw.choices([*FREQUENT, *USUAL, *RARE], _WEIGHTS)
        try:
            with connection, connection.cursor() as cursor:
                action(cursor, draw)
                if is_long and action not in RARE:
                    self._stay_open(draw.randrange(5, 40))
                    action(cursor, draw)
        except psycopg2.Error as error:
            if connection.closed:
                raise
            self.refused[f"{action.__name__}: {type(error).__name__}"] += 1
        else:
            self.done[action.__name__] += 1

    def _stay_open(self, others: int) -> None:
        """Return once the other sessions have done that much more, or wait no longer."""
        wanted = self.done.total() + others
        for _ in range(100):
            if self.done.total() >= wanted or self._end.wait(0.02):
                return

    def _connect(self) -> Any:
        options = f"-c timezone=UTC -c lock_timeout={_LOCK_WAIT_MS}"
        return psycopg2.connect(self._settings.shop_dsn, password=self._settings.secret("shop_owner"), options=options, connect_timeout=5)
