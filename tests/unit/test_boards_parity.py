"""Every question run by Spark and by the boards' own process over the same files: equal rows in equal order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboards.metabase import files
from dashboards.metabase.files import Question
from dashboards.serving.engine import Engine
from lakehouse import platform_tables, tables
from lakehouse.lake import ddl
from lakehouse.settings import Settings
from tests import sample_lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Midday, so that neither the last hour nor the day spans midnight.
NOW = datetime(2026, 11, 27, 12, 0, 30, 250_000, tzinfo=UTC)
QUESTIONS = list(files.questions().values())
SET = {"from": "2026-11-10", "to": "2026-11-27", "category": "toys", "region": "EMEA"}


def pinned(sql: str) -> str:
    """The statement as of NOW: otherwise each side would use its own clock."""
    at = NOW.isoformat(sep=" ")
    sql = re.sub(r"current_timestamp\(\)", f"CAST('{at}' AS TIMESTAMP)", sql)
    return re.sub(r"current_date\(\)", f"CAST('{NOW.date()}' AS DATE)", sql)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The lake of a shop of 35 days, in Spark's catalog with its views as of NOW."""
    folder: Path = tmp_path_factory.mktemp("parity")
    sample_lake.write(folder / "lake", sample_lake.drawn(NOW, days=35, orders_a_day=12))
    made = Settings(home=lake_settings.home, lake=f"file://{folder}/lake")
    for schema in ("gold", "silver", "bronze"):
        spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        spark.sql(f"CREATE SCHEMA {schema}")
    for table in sample_lake.stored():
        spark.sql(f"CREATE TABLE {table.full_name} USING DELTA LOCATION '{ddl.location(made, table)}'")
    sources = [source for source in tables.SOURCES if platform_tables.stored(source) in sample_lake.stored()]
    wanted = {table.full_name for table in (*sources, *tables.GOLD)} | {f"{source.full_name}_history" for source in sources}
    for statement in ddl.view_statements(sources):
        if statement.removeprefix("CREATE OR REPLACE VIEW ").split()[0] in wanted:
            spark.sql(pinned(statement))
    return made


@pytest.fixture(scope="module")
def engine(lake: Settings) -> Iterator[Engine]:
    questions = [question.render({name: SET[name] for name in question.filters}) for question in QUESTIONS]
    made = Engine(lake, questions, rewritten=pinned, clock=lambda: NOW)
    yield made
    made.close()


@pytest.mark.parametrize("is_set", [False, True], ids=["unset", "set"])
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_both_return_the_same_rows_in_the_same_order(spark: SparkSession, engine: Engine, question: Question, is_set: bool) -> None:
    values = {name: SET[name] for name in question.filters} if is_set else {}
    sql = pinned(question.render(values))
    found = spark.sql(sql)
    by_spark = [tuple(map(plain, row)) for row in found.collect()]
    names = [f"gold.{name}" for name in question.tables]
    with engine.reading(names) as reader:
        here = reader.query(sql, names)
    assert here.columns == found.columns
    assert [tuple(map(plain, row)) for row in here.rows] == by_spark
    assert by_spark, "nothing was compared"


def test_a_difference_would_be_detected(spark: SparkSession, engine: Engine) -> None:
    question = files.questions()["sales_by_region"]
    by_spark = spark.sql(question.render({"category": "toys"})).collect()
    with engine.reading(["gold.daily_sales"]) as reader:
        here = reader.query(question.render({"category": "home"}), ["gold.daily_sales"])
    assert [tuple(map(plain, row)) for row in here.rows] != [tuple(map(plain, row)) for row in by_spark]


def plain(value: Any) -> Any:
    """A value as text: the sum of integers is a decimal of scale 0 in DuckDB, and 1.50 must differ from 1.5."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return None if value is None else str(value)
