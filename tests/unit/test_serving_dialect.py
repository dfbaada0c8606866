"""The questions' dialect where Spark and DuckDB differ, against known results of Spark; the parity test runs both."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from dashboards.serving import dialect
from dashboards.serving.dialect import duckdb_sql
from lakehouse.errors import EbapError


@pytest.fixture(scope="module")
def connection() -> Any:
    made = duckdb.connect()
    for statement in ("SET TimeZone = 'UTC'", *dialect.MACROS):
        made.execute(statement).fetchall()
    return made


@pytest.mark.parametrize(
    ("spark", "value"),
    [
        # Truncated towards zero.
        ("CAST(119 / 60 AS INT)", 1),
        ("CAST(-119 / 60 AS INT)", -1),
        # A double is rounded by its decimal text, half away from zero; its binary value is slightly smaller.
        ("CAST(201 / 200 AS DECIMAL(18,2))", Decimal("1.01")),
        ("CAST(-201 / 200 AS DECIMAL(18,2))", Decimal("-1.01")),
        ("CAST(100 * 3 / 80 AS DECIMAL(5,1))", Decimal("3.8")),
        # A decimal stays exact at any size.
        ("CAST(CAST(9007199254740993.25 AS DECIMAL(18,2)) + 0.01 AS DECIMAL(19,2))", Decimal("9007199254740993.26")),
        # NULL if one argument is.
        ("concat('a', CAST(NULL AS STRING))", None),
        ("greatest(1, CAST(NULL AS INT))", 1),
        ("try_divide(1, 0)", None),
        ("datediff(DATE'2026-03-01', DATE'2026-02-27')", 2),
        ("CAST(date_trunc('WEEK', DATE'2026-11-29') AS DATE)", date(2026, 11, 23)),
        ("CAST(floor(datediff(DATE'2026-02-27', DATE'2026-03-01') / 7) AS INT)", -1),
        # Whole seconds, rounded down before 1970 too.
        ("unix_timestamp(TIMESTAMP'1969-12-31 23:59:58.5')", -2),
        ("'O\\'Neil \\\\ Sons'", "O'Neil \\ Sons"),
    ],
)
def test_a_value_equals_sparks(connection: Any, spark: str, value: Any) -> None:
    assert connection.execute(duckdb_sql(f"SELECT {spark} AS v")).fetchall() == [(value,)]


def test_null_sorts_first_ascending_and_last_descending(connection: Any) -> None:
    rows = "(SELECT explode(sequence(1, 3)) AS n) ORDER BY CASE WHEN n <> 2 THEN n END"
    assert connection.execute(duckdb_sql(f"SELECT n FROM {rows}")).fetchall() == [(2,), (1,), (3,)]
    assert connection.execute(duckdb_sql(f"SELECT n FROM {rows} DESC")).fetchall() == [(3,), (1,), (2,)]


@pytest.mark.parametrize(
    ("spark", "name"),
    [("percentile_approx(n, 0.5)", "percentile_approx"), ("upper(n)", "upper"), ("my_own(n)", "my_own"), ("first(n)", "first")],
)
def test_a_function_that_is_not_on_the_list_is_refused_by_name(spark: str, name: str) -> None:
    with pytest.raises(EbapError, match=f"{name} is not known to be equivalent in DuckDB"):
        duckdb_sql(f"SELECT {spark} AS v FROM gold.daily_sales")


def test_invalid_sql_is_refused() -> None:
    with pytest.raises(EbapError, match="cannot be parsed"):
        duckdb_sql("SELECT (")
