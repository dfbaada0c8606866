"""Two ways to gold meet: the transforms, fed with what the audit log folds to, and one SQL over Postgres; no capture between."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.settings import PROJECT, Settings
from lakehouse.transforms import gold
from tests.e2e import gold_oracle, state_oracle
from tests.e2e.conftest import AUDIT, Platform
from tests.e2e.own_postgres import running_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.e2e

STORED = [table for table in tables.GOLD if not table.is_view]


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
        "PYTHONPATH": f"{PROJECT / 'spark_apps'}:{PROJECT}",
    }


@pytest.fixture(scope="module")
def made(shop: Platform, spark: SparkSession) -> dict[str, list[tuple[Any, ...]]]:
    """Each gold table by the transforms."""
    with shop.postgres() as cursor:
        frames = {name: _silver(spark, cursor, name) for name in gold.parameters(tables.gold("order_lines"))}
    rows = {}
    for table in STORED:
        frame = gold.transform(table)(**{name: frames[name] for name in gold.parameters(table)})
        frames[table.name] = frame.select(*table.column_names).persist()
        rows[table.name] = [tuple(row) for row in frames[table.name].collect()]
    return rows


def _silver(spark: SparkSession, cursor: Any, name: str) -> DataFrame:
    """A silver view from the source and its log."""
    table = tables.source(name.removesuffix(gold.HISTORY_SUFFIX))
    if name == table.name:
        return spark.createDataFrame(list(state_oracle.expected_state(cursor, table).values()), table.schema_ddl())
    versions = [
        (*version.values, version.valid_from, version.valid_to)
        for each in state_oracle.expected_history(cursor, table).values()
        for version in each
    ]
    return spark.createDataFrame(versions, f"{table.schema_ddl()}, _valid_from TIMESTAMP, _valid_to TIMESTAMP")


@pytest.mark.parametrize("table", STORED, ids=lambda table: table.name)
def test_the_transforms_equal_one_sql_over_the_source(shop: Platform, made: dict[str, list[tuple[Any, ...]]], table: Table) -> None:
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
