"""Every gold table and view is its declaration and one SQL file, which both engines run alike and which gives the declared columns."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import tables
from lakehouse.contract import Column, Layer, Table
from lakehouse.definitions import COUNTED_STATUSES
from lakehouse.errors import ContractError
from lakehouse.gold import check, queries, readable
from lakehouse.lake import ddl
from lakehouse.transforms.gold import sql_files
from tests.conftest import empty_lake
from tests.refusals import refused
from tests.unit.gold_tables import on_duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

VIEWS = [table for table in tables.GOLD if table.is_view]
OF_FILES = [table for table in tables.GOLD if not sql_files.reads_bronze(table)]


@pytest.mark.parametrize("table", tables.GOLD, ids=lambda table: table.name)
def test_the_sql_of_a_gold_table_has_no_fault(table: Table) -> None:
    assert check.of_table(table) == []


@pytest.mark.parametrize("table", OF_FILES, ids=lambda table: table.name)
def test_a_gold_table_takes_no_parameter_and_is_short(table: Table) -> None:
    text = (sql_files.FOLDER / f"{table.name}.sql").read_text()
    assert text.startswith("-- "), "it begins with what it is"
    assert not re.search(r"[{}$]|:\w", text)
    assert all(len(line) <= 140 for line in text.splitlines())


@pytest.mark.parametrize("table", OF_FILES, ids=lambda table: table.name)
def test_what_counts_is_the_one_definition(table: Table) -> None:
    lists = re.findall(r"status IN \(([^)]*)\)", sql_files.select(table))
    counted = ", ".join(f"'{status}'" for status in COUNTED_STATUSES)
    assert all(found == counted for found in lists if "'paid'" in found)


def test_a_gold_table_is_two_files_and_a_third_where_it_keeps_runs_small() -> None:
    names = {table.name for table in tables.GOLD}
    found = {path.name for path in sql_files.FOLDER.glob("*.sql")}
    assert found == {f"{table.name}.sql" for table in OF_FILES} | {"order_lines.touched.sql"}
    sources = [*Path(ddl.__file__).parent.rglob("*.py"), *Path(ddl.__file__).parents[2].joinpath("dags").glob("*.py")]
    naming = {
        path.name
        for path in sources
        if path.parent != sql_files.FOLDER
        for name in names - {"orders_live"}
        if f'"{name}"' in path.read_text()
    }
    assert naming == set(), "these name a gold table"


@pytest.fixture
def monthly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """A new gold table: the declaration and the SQL, nothing else."""
    made = Table(
        name="monthly",
        doc="Units a month.",
        grain="one row per month",
        key=("month_on",),
        layer=Layer.GOLD,
        inputs=("daily_sales",),
        slice="month_on",
        sliced_by={"daily_sales": "CAST(date_trunc('month', day) AS DATE)"},
        owner="finance",
        max_age_s=600,
        columns=(Column(name="month_on", type="DATE", doc="First day."), Column(name="units", type="BIGINT", doc="Units.")),
    )
    monkeypatch.setattr(sql_files, "FOLDER", tmp_path)
    monkeypatch.setattr(tables, "GOLD", (*tables.GOLD, made))
    _forget()
    yield made
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    readable.columns.cache_clear()
    queries.query.cache_clear()
    queries.select.cache_clear()
    sql_files.select.cache_clear()


def test_a_declaration_and_a_file_make_a_gold_table(monthly: Table) -> None:
    sql = "-- Units a month.\nSELECT CAST(date_trunc('month', day) AS DATE) AS month_on, sum(units) AS units\nFROM gold.daily_sales\n"
    (sql_files.FOLDER / "monthly.sql").write_text(f"{sql}GROUP BY CAST(date_trunc('month', day) AS DATE)\n")
    assert check.of_table(monthly) == []
    rows = [(date(2026, 1, 1), 1), (date(2026, 1, 31), 2), (date(2026, 2, 1), 5)]
    made: Any = on_duckdb(monthly, {"gold.daily_sales": (("day", "units"), rows)})
    assert sorted(tuple(row.values()) for row in made) == [(date(2026, 1, 1), 3), (date(2026, 2, 1), 5)]


def test_a_function_that_is_not_on_the_list_is_named_with_file_and_line(monthly: Table) -> None:
    (sql_files.FOLDER / "monthly.sql").write_text(
        "-- Units.\nSELECT day AS month_on,\n  CAST(avg(units) AS BIGINT) AS units\nFROM gold.daily_sales\n"
    )
    assert check.of_table(monthly) == ["tables/monthly.sql:3: function avg() is not supported on both engines"]


def test_other_inputs_or_columns_than_declared_are_found(monthly: Table) -> None:
    (sql_files.FOLDER / "monthly.sql").write_text("SELECT day AS month_on, units FROM gold.product_daily\n")
    with refused("'product_daily', which is not an input", "the input 'daily_sales'", kind=ContractError):
        queries.select(monthly)
    assert check.of_table(monthly) == [
        "tables/monthly.sql reads 'product_daily', which is not an input",
        "tables/monthly.sql does not read the input 'daily_sales'",
    ]


def test_a_table_without_sql_is_refused() -> None:
    lost = Table(**{name: getattr(VIEWS[0], name) for name in VIEWS[0].__dataclass_fields__} | {"name": "lost"})
    with refused("'lost'", cure="tables/lost.sql", kind=ContractError):
        sql_files.select(lost)


@pytest.mark.parametrize("table", VIEWS, ids=lambda table: table.name)
def test_no_view_shows_personal_data(table: Table) -> None:
    personal = {column.name for source in tables.SOURCES for column in source.columns if column.pii}
    assert not personal & set(table.column_names)


def test_spark_gives_the_declared_types(spark: SparkSession, lake_settings: Settings, tmp_path: Any) -> None:
    empty_lake(spark, lake_settings, tmp_path)
    for table in tables.GOLD:
        frame = spark.table(table.full_name) if table.is_view else spark.sql(sql_files.select(table))
        shown = {field.name: field.dataType.simpleString().upper() for field in frame.schema}
        assert shown == {column.name: column.type for column in table.columns}, table.name
