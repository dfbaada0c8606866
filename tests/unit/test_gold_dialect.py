"""Every function and construct that gold's SQL may use gives the same on Spark and on DuckDB, on values that are made to differ."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from pyspark.errors import AnalysisException, PySparkException

from lakehouse.errors import EbapError
from lakehouse.gold import dialect, engine
from lakehouse.gold.functions import FUNCTIONS
from tests.unit.dialect_trials import AGGREGATES, COLUMNS, QUERIES, REFUSED, ROWS, SCALARS, WINDOWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from pyspark.sql import SparkSession

SCHEMA = {"silver": {"extremes": COLUMNS}}


@pytest.fixture(scope="module")
def duck() -> DuckDBPyConnection:
    made = engine.connect()
    types = ", ".join(f"{name} {type_.replace('TIMESTAMP', 'TIMESTAMPTZ')}" for name, type_ in COLUMNS.items())
    made.execute(f"CREATE TABLE silver.extremes ({types})")
    made.executemany(f"INSERT INTO silver.extremes VALUES ({', '.join('?' * len(COLUMNS))})", ROWS)
    return made


class Side:
    """An engine: the answer to a query as a sorted list of rows, or `error` where a value makes it fail.

    A query that the engine does not understand, and an engine that is gone, are no answers: they end the test.
    """

    def __init__(self, ask: Callable[[str], pa.Table]) -> None:
        self.ask = ask

    def answer(self, sql: str) -> Any:
        try:
            return _plain(self.ask(sql))
        except (AnalysisException, duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            raise
        except (PySparkException, duckdb.Error):
            return "error"

    def columns(self, expressions: Sequence[str], by: str, group: str = "") -> dict[str, Any]:
        """What each expression gives by the column `by`, all by one query where that succeeds."""
        listed = ", ".join(f"{each} AS made_{number}" for number, each in enumerate(expressions))
        found = self.answer(f"SELECT {by}, {listed} FROM silver.extremes {group}")
        if found == "error" and len(expressions) > 1:
            return {each: self.columns([each], by, group)[each] for each in expressions}
        if found == "error":
            return {expressions[0]: "error"}
        return {each: [(row[0], row[number]) for row in found] for number, each in enumerate(expressions, start=1)}


@pytest.fixture(scope="module")
def on_duck(duck: DuckDBPyConnection) -> Side:
    return Side(lambda sql: duck.sql(dialect.to_duckdb(sql, SCHEMA)).to_arrow_table())


@pytest.fixture(scope="module")
def on_spark(spark: SparkSession) -> Side:
    ddl = ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())
    spark.createDataFrame(ROWS, ddl).coalesce(1).cache().createOrReplaceTempView("extremes")
    return Side(lambda sql: spark.sql(sql.replace("silver.extremes", "extremes")).toArrow())


@pytest.fixture(scope="module")
def bad(duck: DuckDBPyConnection) -> dict[str, list[int]]:
    """Per expression of a row: the rows in which it is an error in DuckDB."""
    found = {}
    for expression in _all(SCALARS):
        query = dialect.to_duckdb(f"SELECT {expression} AS made FROM silver.extremes WHERE id = 4321", SCHEMA)
        try:
            duck.execute(query.replace('WHERE "extremes"."id" = 4321', "")).to_arrow_table()
        except duckdb.Error:
            found[expression] = [number for number in range(len(ROWS)) if _is_error(duck, query.replace("4321", str(number)))]
    return found


def _is_error(duck: DuckDBPyConnection, query: str) -> bool:
    try:
        duck.execute(query).to_arrow_table()
    except duckdb.Error:
        return True
    return False


def _all(cases: dict[str, list[str]]) -> list[str]:
    return [one for many in cases.values() for one in many]


@pytest.fixture(scope="module")
def both(on_duck: Side, on_spark: Side, bad: dict[str, list[int]]) -> dict[str, tuple[Any, Any]]:
    """Per expression what DuckDB and what Spark gives, rows that are an error in DuckDB left out."""
    guarded = {
        each: f"CASE WHEN id NOT IN ({', '.join(map(str, bad[each]))}) THEN {each} END" if each in bad else each for each in _all(SCALARS)
    }
    made: dict[str, tuple[Any, Any]] = {}
    for cases, by, group in (
        (guarded, "id", ""),
        ({each: each for each in _all(WINDOWS)}, "id", ""),
        ({each: each for each in _all(AGGREGATES)}, "k", "GROUP BY k"),
    ):
        sides = [side.columns(list(cases.values()), by, group) for side in (on_duck, on_spark)]
        made |= {each: (sides[0][text], sides[1][text]) for each, text in cases.items()}
    return made


def _plain(table: pa.Table) -> list[Any]:
    """Rows as comparable values: times as microseconds, days as days since 1970, NaN and -0.0 by their text, every whole number an int."""
    import pyarrow as pa

    numbers = {"timestamp": pa.int64(), "date32": pa.int32()}
    columns = [column.cast(numbers.get(str(column.type).split("[")[0], column.type)) for column in table.itercolumns()]
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return sorted((tuple(_value(value) for value in row) for row in rows), key=repr)


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value + 0.0)  # -0.0 and 0.0 are one value in SQL
    return value.normalize() + 0 if isinstance(value, Decimal) else value


@pytest.mark.parametrize("expression", [*_all(SCALARS), *_all(AGGREGATES), *_all(WINDOWS)])
def test_an_expression_is_the_same_on_both(both: dict[str, tuple[Any, Any]], expression: str) -> None:
    duck, spark = both[expression]
    assert spark != "error"
    assert duck == spark


@pytest.mark.parametrize("expression", _all(SCALARS))
def test_what_is_an_error_in_duckdb_is_one_in_spark(bad: dict[str, list[int]], on_spark: Side, expression: str) -> None:
    rows = bad.get(expression, [])
    assert len(rows) < len(ROWS) / 2, "most rows are an error: little was compared"
    for number in (*rows[:2], *rows[-1:]):
        assert on_spark.answer(f"SELECT id, {expression} AS made FROM silver.extremes WHERE id = {number}") == "error", ROWS[number]


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_the_same_on_both(on_duck: Side, on_spark: Side, name: str) -> None:
    spark = on_spark.answer(QUERIES[name])
    assert spark != "error"
    assert on_duck.answer(QUERIES[name]) == spark


def test_the_comparison_sees_what_differs(on_spark: Side, duck: DuckDBPyConnection) -> None:
    """The negative control: DuckDB's own meaning of what is translated."""
    raw = Side(lambda sql: duck.sql(sql).to_arrow_table())
    for expression in ("CAST(x AS INT)", "i / j", "concat(s, u)"):
        seen = [f"SELECT {expression} AS made FROM silver.extremes WHERE id = {number}" for number in range(len(ROWS))]
        assert any(raw.answer(sql) != on_spark.answer(sql) for sql in seen), f"{expression}: the rows do not tell"
    group = "SELECT k, min_by(j, id) AS made FROM silver.extremes GROUP BY k"
    assert raw.answer(group) != on_spark.answer(group)


def test_every_function_on_the_list_is_tried() -> None:
    assert set(FUNCTIONS) <= {*SCALARS, *AGGREGATES, *WINDOWS}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_differs_is_refused_with_its_line(sql: str) -> None:
    query = sql.replace(" ", "\n", 1)
    found = dialect.faults(query, SCHEMA)
    assert REFUSED[sql] in "; ".join(reason for _, reason in found)
    assert found[0][0] == 2
    with pytest.raises(EbapError, match="line "):
        dialect.to_duckdb(query, SCHEMA)


def test_columns_that_are_not_the_declared_ones_are_refused() -> None:
    reasons = [reason for _, reason in dialect.faults("SELECT i, s FROM silver.extremes", SCHEMA, {"i": "INT", "u": "STRING"})]
    assert reasons == ["returns the columns i, s; declared are i, u"]
    reasons = [reason for _, reason in dialect.faults("SELECT i, x AS s FROM silver.extremes", SCHEMA, {"i": "INT", "s": "STRING"})]
    assert reasons == ["returns s as a double; declared is STRING"]
