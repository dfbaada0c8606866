"""The source changes its schema in mid-stream, and moves to another Postgres: what becomes of every table, on the real parts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests

from lakehouse.settings import PROJECT, Settings
from lakehouse.source.connector import NAME
from tests.e2e.conftest import Platform, running_platform, until
from tests.e2e.own_postgres import running_postgres

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

# What the tests below do to the source, in their order: what a second Postgres must have done to it as well.
ADD = "ALTER TABLE shop.users ADD COLUMN nickname text NOT NULL DEFAULT 'none'"
DROP = "ALTER TABLE shop.products DROP COLUMN weight_kg"
RENAME = "ALTER TABLE shop.users RENAME COLUMN preferences TO settings"
WIDEN = "ALTER TABLE shop.products ALTER COLUMN stock TYPE bigint"
DIGITS = "ALTER TABLE shop.products ALTER COLUMN price_usd TYPE numeric(12, 2)"
ENUM = "ALTER TYPE shop.order_status ADD VALUE 'lost'"
NARROW = "ALTER TABLE shop.order_items ALTER COLUMN quantity TYPE smallint"
RETYPE = "ALTER TABLE shop.users ALTER COLUMN birth_on TYPE text"
DONE = (ADD, DROP, RENAME, WIDEN, DIGITS, ENUM, NARROW, RETYPE)
BIG = 5_000_000_000


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    """A platform without Airflow and without traffic, with an order of two lines beside its seed."""
    with running_platform("generator") as made:
        execute(
            made,
            "INSERT INTO shop.orders (order_id, user_id, total_usd) VALUES (900001, 1, 20.00)",
            "INSERT INTO shop.order_items (order_id, line_no, product_id, quantity, unit_price_usd)"
            " VALUES (900001, 1, 1, 3, 5.00), (900001, 2, 2, 1, 5.00)",
        )
        made.catch_up()
        yield made


def execute(shop: Platform, *statements: str) -> None:
    """Statements of the source's owner, each committed by itself."""
    for statement in statements:
        with shop.postgres() as cursor:
            cursor.execute(statement)


def became(shop: Platform, table: str) -> list[tuple[Any, ...]]:
    columns = "`column`, what, type_before, type_after, state"
    return shop.sql(
        f"SELECT {columns} FROM silver.schema_changes WHERE source_table = '{table}' AND what <> 'first seen' ORDER BY seen_at, 1"
    )


def row(shop: Platform, table: str, columns: str, condition: str) -> tuple[Any, ...]:
    (found,) = shop.sql(f"SELECT {columns} FROM silver.{table} WHERE {condition}")
    return found


def failed_catch_up(shop: Platform) -> str:
    """What catch-up reports of a table that is stopped."""
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse", "catch-up"],
        env=shop.environ,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def test_an_added_column_is_drift_that_somebody_saw_within_a_minute(shop: Platform) -> None:
    execute(shop, "UPDATE shop.users SET full_name = 'Before' WHERE user_id = 1", ADD)
    execute(shop, "UPDATE shop.users SET full_name = 'After', nickname = 'Al' WHERE user_id = 2")
    # Nobody asks for this look: land does.
    until(lambda: became(shop, "users") == [("nickname", "added", None, "text", "drift")], 150, "the new column to be seen")
    shop.catch_up()
    assert row(shop, "users", "full_name", "user_id = 1") == ("Before",)
    assert row(shop, "users", "full_name", "user_id = 2") == ("After",)
    kept = "SELECT count(*) FROM bronze.changes WHERE source_table = 'users' AND CAST(value AS STRING) LIKE '%\"nickname\":\"Al\"%'"
    assert shop.sql(kept) == [(1,)]


def test_a_dropped_and_a_renamed_column_stay_and_turn_null(shop: Platform) -> None:
    before = row(shop, "products", "weight_kg", "product_id = 2")
    execute(shop, "UPDATE shop.users SET preferences = '{\"a\": 1}' WHERE user_id = 3", DROP, RENAME)
    execute(shop, "UPDATE shop.products SET name = 'Lighter' WHERE product_id = 1")
    execute(shop, "UPDATE shop.users SET settings = '{\"b\": 2}' WHERE user_id = 4")
    shop.run("lakehouse", "schema")
    shop.catch_up()
    assert became(shop, "products") == [("weight_kg", "dropped", "float8", None, "applied")]
    assert became(shop, "users")[1:] == [
        ("preferences", "renamed", "jsonb", None, "applied"),
        ("settings", "renamed", None, "jsonb", "drift"),
    ]
    assert row(shop, "products", "name, weight_kg", "product_id = 1") == ("Lighter", None)
    assert row(shop, "products", "weight_kg", "product_id = 2") == before
    assert row(shop, "users", "preferences", "user_id = 3") == ('{"a": 1}',)
    assert row(shop, "users", "preferences", "user_id = 4") == (None,)


def test_a_wider_type_is_followed_by_itself_also_while_the_capture_is_down(shop: Platform) -> None:
    execute(shop, WIDEN)
    shop.run("lakehouse", "schema")
    execute(shop, f"UPDATE shop.products SET stock = {BIG} WHERE product_id = 1")
    requests.put(f"{shop.settings.connect_url}/connectors/{NAME}/stop", timeout=30).raise_for_status()
    execute(shop, "UPDATE shop.products SET price_usd = 1.25 WHERE product_id = 2", DIGITS)
    execute(shop, "UPDATE shop.products SET price_usd = 1234567890.12 WHERE product_id = 3")
    # Not only back: it passes its checks although no declaration has the dropped column's or the wider type.
    shop.run("lakehouse", "capture", "apply")
    shop.catch_up()
    assert became(shop, "products")[1:] == [
        ("stock", "widened", "int4", "int8", "applied"),
        ("price_usd", "widened", "numeric(10,2)", "numeric(12,2)", "applied"),
    ]
    assert row(shop, "products", "stock", "product_id = 1") == (BIG,)
    assert [str(row(shop, "products", "price_usd", f"product_id = {key}")[0]) for key in (2, 3)] == ["1.25", "1234567890.12"]
    assert shop.sql("SELECT count(*) FROM silver.quarantine") == [(0,)]


def test_a_new_enum_value_goes_through(shop: Platform) -> None:
    execute(shop, ENUM, "UPDATE shop.orders SET status = 'lost' WHERE order_id = 900001")
    shop.run("lakehouse", "schema")
    shop.catch_up()
    assert [change[:2] + change[4:] for change in became(shop, "orders")] == [("status", "enum value added", "applied")]
    assert row(shop, "orders_history", "status, _flags[0]", "order_id = 900001 AND _is_current") == ("lost", "status_is_known")


def test_a_narrower_and_another_type_stop_their_tables_alone_until_they_are_accepted(shop: Platform) -> None:
    execute(shop, "UPDATE shop.users SET birth_on = '1990-01-02' WHERE user_id = 5")
    # What the capture has not read before the type changes may come as NULL.
    until(
        lambda: shop.sql("SELECT count(*) FROM bronze.users WHERE user_id = 5 AND birth_on = DATE'1990-01-02'") == [(1,)], 60, "it to land"
    )
    execute(shop, NARROW, RETYPE)
    said = shop.run("lakehouse", "schema")
    assert "`python -m lakehouse accept order_items`" in said and "`python -m lakehouse accept users`" in said
    execute(
        shop,
        "UPDATE shop.users SET birth_on = '1991-03-04' WHERE user_id = 6",
        "UPDATE shop.users SET birth_on = 'in spring', full_name = 'Spring' WHERE user_id = 7",
        "UPDATE shop.order_items SET quantity = 4 WHERE order_id = 900001 AND line_no = 1",
        "UPDATE shop.products SET name = 'Goes on' WHERE product_id = 4",
    )
    name, kept = row(shop, "users", "full_name, CAST(birth_on AS STRING)", "user_id = 7")
    told = failed_catch_up(shop)
    assert "users is stopped" in told and "column birth_on retyped, date before, text now" in told and "accept users" in told
    assert "order_items is stopped" in told and "column quantity narrowed, int4 before, int2 now" in told
    assert row(shop, "products", "name", "product_id = 4") == ("Goes on",)
    assert row(shop, "order_items", "quantity", "order_id = 900001 AND line_no = 1") == (3,)
    for table in ("users", "order_items"):
        told = shop.run("lakehouse", "accept", table)
        assert "accepted: " in told and f"`python -m lakehouse resnapshot {table}`" in told
    shop.catch_up()
    assert row(shop, "order_items", "quantity", "order_id = 900001 AND line_no = 1") == (4,)
    days = [row(shop, "users", "CAST(birth_on AS STRING)", f"user_id = {key}")[0] for key in (5, 6)]
    assert days == ["1990-01-02", "1991-03-04"]
    # What the declared type cannot hold is not NULL: its key stands as it was, and the record waits with its bytes.
    assert row(shop, "users", "full_name, CAST(birth_on AS STRING)", "user_id = 7") == (name, kept)
    assert shop.sql("SELECT reason, detail FROM silver.quarantine") == [("bad_value", "birth_on: 'in spring' is not a DATE")]


@pytest.fixture
def second(shop: Platform) -> Iterator[Settings]:
    """Another Postgres with the shop's tables as they are by now, four users, and the same passwords."""
    home = Path(tempfile.mkdtemp(prefix="ebap-second-"))
    shutil.copytree(shop.settings.secrets_dir, home / "secrets")
    try:
        with running_postgres(home) as made:
            with closing(psycopg2.connect(made.shop_dsn, password=made.secret("shop_owner"))) as connection:
                connection.autocommit = True
                cursor = connection.cursor()
                for statement in ((PROJECT / "generator" / "schema.sql").read_text(), *DONE):
                    cursor.execute(statement)
                cursor.execute(
                    "INSERT INTO shop.users (user_id, email, full_name, region, country)"
                    " SELECT i, 'moved' || i || '@x.io', 'Moved', 'EMEA', 'DE' FROM generate_series(1, 4) i"
                )
            yield made
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_another_postgres_is_refused_until_it_is_accepted_as_the_next_epoch(shop: Platform, second: Settings) -> None:
    highest = shop.sql("SELECT max(_from_lsn) FROM silver.users_history")[0][0]
    users = shop.sql("SELECT count(*) FROM silver.users")[0][0]
    shop.run("infra.local", "down", limit_s=300)
    shop.environ["EBAP_SOURCE_DSN"] = second.shop_dsn
    shop.settings = Settings.from_environment(shop.environ)
    up = [sys.executable, "-m", "infra.local", "up", "land"]
    refused = subprocess.run(up, env=shop.environ, cwd=PROJECT, capture_output=True, text=True, timeout=900, check=False)
    assert refused.returncode != 0
    told = refused.stdout + refused.stderr
    assert "another Postgres" in told and "python -m lakehouse accept epoch" in told, told[-3000:]
    assert shop.run("lakehouse", "accept", "epoch").startswith("epoch 2 is Postgres")
    shop.run("infra.local", "up", "land", limit_s=900)
    shop.run("lakehouse", "capture", "wait-snapshot")
    shop.catch_up()
    found = shop.sql("SELECT user_id, full_name FROM silver.users WHERE user_id <= 5 ORDER BY user_id")
    assert [name for _, name in found[:4]] == ["Moved"] * 4
    assert shop.sql("SELECT count(*) FROM silver.users")[0][0] == users, "rows the new source lacks stay"
    epochs = shop.sql("SELECT _epoch, _is_current, _from_lsn FROM silver.users_history WHERE user_id = 1 ORDER BY _valid_from")
    assert [epoch for epoch, _, _ in epochs] == sorted(epoch for epoch, _, _ in epochs)
    last_epoch, is_current, lsn = epochs[-1]
    assert (last_epoch, is_current) == (2, True)
    assert lsn < highest, "the test is void where the new Postgres does not begin at a lower position"
    with (
        closing(psycopg2.connect(second.shop_dsn, password=second.secret("shop_owner"))) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE shop.users SET full_name = 'Settled' WHERE user_id = 1")
    shop.catch_up()
    assert row(shop, "users", "full_name", "user_id = 1") == ("Settled",)
    assert not [
        change for table in ("users", "products", "orders", "order_items") for change in became(shop, table) if change[4] == "waiting"
    ]
