"""Two ways to gold meet: its SQL on either engine, fed with what the audit log folds to, and one SQL over Postgres; no capture between."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.gold import queries
from lakehouse.settings import Settings
from lakehouse.transforms.gold import sql_files
from lakehouse.transforms.gold.sql_files import HISTORY_SUFFIX
from tests.e2e import gold_oracle, state_oracle
from tests.e2e.conftest import AUDIT, Platform
from tests.e2e.own_postgres import running_postgres
from tests.unit.gold_tables import on_duckdb, on_spark

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

OF_FILES = [table for table in tables.GOLD if not sql_files.reads_bronze(table)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A Postgres of its own in which the generator has traded, every change logged, and what it does seldom done by hand."""
    with running_postgres(tmp_path_factory.mktemp("home")) as settings:
        environ = {**os.environ, **_environment(settings)}
        made = Platform(settings, environ)
        made.run("generator", "schema")
        with made.postgres() as cursor:
            cursor.execute(AUDIT.read_text())
        made.run("generator", "seed")
        made.run("generator", "backfill", "--days", "5", "--orders-per-day", "100")
        for statement in _SELDOM:
            with made.postgres() as cursor:
                cursor.execute(statement)
        yield made


_NEWEST = "(SELECT max(order_id) FROM shop.orders)"
# Each a transaction of its own.
_SELDOM = (
    "UPDATE shop.products SET price_usd = price_usd + 1, category = 'corrected'",  # later than every order: reaches none
    f"UPDATE shop.orders SET ordered_at = ordered_at - interval '40 days' WHERE order_id = {_NEWEST}",  # another day, the same instant
    f"UPDATE shop.orders SET status = 'returned' WHERE order_id = {_NEWEST} - 1",
    "UPDATE shop.users SET region = 'LATAM' WHERE user_id % 2 = 0",
)


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "EBAP_HOME": settings.home,
        "EBAP_POSTGRES_PORT": str(settings.postgres_port),
    }


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.spark)])
def made(request: pytest.FixtureRequest, shop: Platform) -> dict[str, list[tuple[Any, ...]]]:
    """Each gold table and view by its SQL."""
    engine = on_duckdb if request.param == "duckdb" else partial(on_spark, request.getfixturevalue("spark"))
    drawn: dict[str, Any] = {}
    rows = {}
    for table in OF_FILES:
        reads = [name for schema, name in queries.select(table).reads if schema == "silver"]
        with shop.postgres() as cursor:
            drawn |= {f"silver.{name}": _silver(cursor, name) for name in reads if f"silver.{name}" not in drawn}
        read = {".".join(name) for name in queries.select(table).reads}
        rows[table.name] = [tuple(map(_naive, row.values())) for row in engine(table, {name: drawn[name] for name in read})]
        drawn[f"gold.{table.name}"] = (table.column_names, [tuple(row) for row in rows[table.name]])
    return rows


def _naive(value: Any) -> Any:
    """Times as the oracle gives them: UTC, without saying so."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


def _silver(cursor: Any, name: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns and rows of a silver view, from the source and its log."""
    table = tables.source(name.removesuffix(HISTORY_SUFFIX))
    if name == table.name:
        return table.column_names, list(state_oracle.expected_state(cursor, table).values())
    versions = [
        (*version.values, version.valid_from, version.valid_to)
        for each in state_oracle.expected_history(cursor, table).values()
        for version in each
    ]
    return (*table.column_names, "_valid_from", "_valid_to"), versions


@pytest.mark.parametrize("table", OF_FILES, ids=lambda table: table.name)
def test_gold_equals_one_sql_over_the_source(shop: Platform, made: dict[str, list[tuple[Any, ...]]], table: Table) -> None:
    with shop.postgres() as cursor:
        expected = gold_oracle.expected(cursor, table.name)
    assert len(expected) > 1, "the shop sold nothing"
    assert sorted(map(str, made[table.name])) == sorted(map(str, expected))


def test_a_price_forged_in_the_log_turns_the_oracle_red(shop: Platform, made: dict[str, list[tuple[Any, ...]]]) -> None:
    """The prices of the oracle come from the log, and a cent is seen."""
    # Every row: an order takes stock in its own transaction, and so the row that counts is that one.
    forged = """UPDATE audit.changes SET row = jsonb_set(row, '{price_usd}', to_jsonb((row ->> 'price_usd')::numeric + 0.01))
        WHERE table_name = 'products' AND row IS NOT NULL"""
    with shop.postgres() as cursor:
        cursor.execute(forged)
        expected = gold_oracle.expected(cursor, "order_lines")
        cursor.connection.rollback()
    assert sorted(map(str, made["order_lines"])) != sorted(map(str, expected))
