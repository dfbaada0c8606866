"""What a real Postgres says of its tables before and after each kind of change, read as the gate reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from lakehouse import tables
from lakehouse.settings import PROJECT, Settings
from lakehouse.source import catalog, schema_diff, setup
from tests.e2e.own_postgres import running_postgres

pytestmark = pytest.mark.e2e

TIERS = "bronze, silver, gold, platinum"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home: Path = tmp_path_factory.mktemp("home")
    with running_postgres(home) as made:
        execute(made, (PROJECT / "generator" / "schema.sql").read_text())
        yield made


def execute(shop: Settings, *statements: str) -> None:
    with closing(psycopg2.connect(shop.shop_dsn, password=shop.secret("shop_owner"))) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def look(shop: Settings, table: str) -> schema_diff.Shape:
    with setup.owner(shop) as cursor:
        found = catalog.read_tables(cursor, tables.SOURCES, shop.source_schema)
    # Through its text, as it is kept.
    return schema_diff.from_json(schema_diff.to_json(schema_diff.of(table, found.get(table))))


@pytest.mark.parametrize(
    ("table", "statement", "told"),
    [
        ("users", "ALTER TABLE shop.users ADD COLUMN nickname varchar(20) NOT NULL DEFAULT 'x'", ["nickname added varchar drift"]),
        ("users", "ALTER TABLE shop.users ALTER COLUMN nickname TYPE varchar(40)", []),
        ("users", "ALTER TABLE shop.users ALTER COLUMN nickname TYPE text", ["nickname widened text drift"]),
        ("users", "ALTER TABLE shop.users RENAME COLUMN country TO land", ["country renamed None applied", "land renamed text drift"]),
        ("users", "ALTER TABLE shop.users ALTER COLUMN region DROP NOT NULL", ["region nullability changed text applied"]),
        ("users", "ALTER TYPE shop.user_tier ADD VALUE 'black'", [f"tier enum value added user_tier({TIERS}, black) applied"]),
        ("users", "ALTER TYPE shop.user_tier RENAME VALUE 'black' TO 'noir'", [f"tier retyped user_tier({TIERS}, noir) waiting"]),
        ("products", "ALTER TABLE shop.products DROP COLUMN weight_kg", ["weight_kg dropped None applied"]),
        ("products", "ALTER TABLE shop.products ALTER COLUMN stock TYPE bigint", ["stock widened int8 applied"]),
        ("products", "ALTER TABLE shop.products ALTER COLUMN price_usd TYPE numeric(12, 2)", ["price_usd widened numeric(12,2) applied"]),
        ("products", "ALTER TABLE shop.products ALTER COLUMN cost_usd TYPE numeric(12, 2)", ["cost_usd retyped numeric(12,2) waiting"]),
        ("order_items", "ALTER TABLE shop.order_items ALTER COLUMN quantity TYPE smallint", ["quantity narrowed int2 waiting"]),
        (
            "order_items",
            "ALTER TABLE shop.order_items DROP CONSTRAINT order_items_pkey, ADD PRIMARY KEY (order_id, product_id)",
            ["None key changed key (order_id, product_id) waiting"],
        ),
        ("order_items", "DROP TABLE shop.order_items", ["None dropped None waiting"]),
    ],
)
def test_each_change_is_told_once_and_by_its_name(shop: Settings, table: str, statement: str, told: list[str]) -> None:
    before = look(shop, table)
    execute(shop, statement)
    after = look(shop, table)
    now = datetime.now(UTC)
    found = schema_diff.changes(tables.source(table), before, after, now)
    assert [f"{change.column} {change.what} {change.type_after} {change.state}" for change in found] == told
    assert schema_diff.changes(tables.source(table), after, look(shop, table), now) == []
