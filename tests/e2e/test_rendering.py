"""One text for a value on both sides: a table of all types in a real Postgres, and the same values in Spark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from lakehouse.contract import Column, History, Table
from lakehouse.reconcile import canonical_text
from lakehouse.reconcile.source_side import SourceTable, taken
from lakehouse.settings import Settings
from tests.e2e.own_postgres import running_postgres

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.e2e

_DOUBLES: tuple[str, ...] = ("0.1", "0", "1e23", "2e-3", "4.9e-324", "2.2250738585072014e-308", "2.225e-308", "1.7976931348623157e308")
_DOUBLES += ("'-0'", "0.30000000000000004", "-1234.5", "'NaN'", "'-Infinity'", "'Infinity'")
_MOMENTS = ("'0001-01-01 00:00:00+00'", "'1969-12-31 23:59:59.999999+00'", "'2026-07-01 12:00:00.1+02'", "'9999-12-31 23:59:59.999999+00'")
_LISTS = ("'{}'", "'{NULL}'", "'{\"\"}'", "'{a,b}'", "'{\"a,b\"}'", "ARRAY['NULL', NULL, 'ü😀', E'q\"\\\\\\n']")

# Column, its type in Postgres, its declared type, values as SQL.
ALL_TYPES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("id", "text", "STRING", ()),
    ("big", "bigint", "BIGINT", ("-9223372036854775808", "9223372036854775807", "0")),
    ("int_as_big", "integer", "BIGINT", ("-2147483648", "5")),
    ("whole", "integer", "INT", ("-2147483648", "2147483647")),
    ("small", "smallint", "SMALLINT", ("-32768", "32767")),
    ("flag", "boolean", "BOOLEAN", ("true", "false")),
    ("price", "numeric(10,2)", "DECIMAL(10,2)", ("0", "-0.01", "99999999.99", "1.5")),
    ("rate", "numeric", "DECIMAL(38,18)", ("0.000000000000000001", "-12345678901234567890.123456789012345678", "0", "7")),
    ("number", "integer", "DECIMAL(12,2)", ("-7", "0")),
    ("weight", "float8", "DOUBLE", _DOUBLES),
    ("ratio", "float4", "FLOAT", ("0.1", "1.17549435e-38", "3.4028235e38", "1e-45", "'NaN'", "16777216")),
    ("ratio_as_double", "float4", "DOUBLE", ("0.1", "3.4028235e38", "-1.1")),
    ("day", "date", "DATE", ("'0001-01-01'", "'9999-12-31'", "'1582-10-10'", "'2026-02-28'")),
    ("at", "timestamptz", "TIMESTAMP", _MOMENTS),
    ("local_at", "timestamp", "TIMESTAMP", ("'2026-03-29 02:30:00'", "'1900-01-01 00:00:00.000001'")),
    ("raw", "bytea", "BINARY", (r"'\x'", r"'\x00ff0a'", "decode(repeat('ab', 3000), 'hex')")),
    ("tags", "text[]", "ARRAY<STRING>", _LISTS),
    ("ids", "uuid[]", "ARRAY<STRING>", ("'{00000000-0000-0000-0000-000000000001,NULL}'",)),
    ("padded", "char(5)[]", "ARRAY<STRING>", ("'{ab,\"  c\"}'",)),
    ("note", "text", "STRING", ("''", "'N;'", "'1:a'", "E'\\t\\n\\u001f\\\"'", "'Ünïcøde 😀 é'", "repeat('x', 1000000)")),
    ("code", "char(6)", "STRING", ("'ab'", "''")),
    ("short", "varchar(9)", "STRING", ("' x '",)),
    ("doc", "jsonb", "STRING", ("'{\"b\": 1.10, \"a\": [true, null, \"ü\"]}'", "'null'", "'\"\"'")),
    ("plain_doc", "json", "STRING", ("'{\"b\":1,   \"b\":2}'",)),
    ("token", "uuid", "STRING", ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",)),
    ("mood", "mood", "STRING", ("'so so'",)),
    ("net", "inet", "STRING", ("'10.0.0.1/8'", "'::1'")),
)  # fmt: skip

THINGS = Table(
    name="things",
    doc="A column of every type.",
    grain="one row per value",
    key=("id",),
    history=History.FULL,
    owner="tests",
    max_age_s=1,
    columns=tuple(Column(name=name, type=type_, doc="A value.") for name, _, type_, _ in ALL_TYPES),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Postgres with a row a value, each named after its column and number."""
    with running_postgres(tmp_path_factory.mktemp("home")) as settings:
        columns = ", ".join(f"{name} {type_}" for name, type_, _, _ in ALL_TYPES)
        with (
            closing(psycopg2.connect(settings.shop_dsn, password=settings.secret("shop_owner"))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("CREATE SCHEMA IF NOT EXISTS shop")
            cursor.execute("CREATE TYPE mood AS ENUM ('so so')")
            cursor.execute(f"CREATE TABLE shop.things ({columns}, PRIMARY KEY (id))")
            cursor.execute("INSERT INTO shop.things (id) VALUES ('nothing')")
            for name, _, _, values in ALL_TYPES:
                for number, value in enumerate(values):
                    cursor.execute(f"INSERT INTO shop.things (id, {name}) VALUES ('{name} {number}', {value})")
            # A server's own settings must not show in a text.
            cursor.execute("ALTER ROLE shop_owner SET datestyle = 'German'")
            cursor.execute("ALTER ROLE shop_owner SET bytea_output = 'escape'")
            connection.commit()
        yield settings


def _as_landed(settings: Settings) -> list[tuple[Any, ...]]:
    """The rows as Python values of the declared types: texts as Postgres prints them, a float4 by its own text, as capture has it."""
    shown = {
        "STRING": "format('%%s', {0})",
        "ARRAY<STRING>": "(SELECT coalesce(array_agg(CASE WHEN e IS NOT NULL THEN format('%%s', e) END ORDER BY n), '{{}}')"
        " FROM unnest({0}) WITH ORDINALITY u(e, n))",
    }
    exact = {
        "TIMESTAMP": "(extract(epoch FROM {0}) * 1000000)::bigint",
        "FLOAT": "{0}::text",
        "DOUBLE": "{0}::text",
        "DATE": "{0} - DATE '1970-01-01'",
    }
    made = ", ".join(
        f"CASE WHEN {name} IS NOT NULL THEN {(shown | exact).get(type_, '{0}').format(name)} END" for name, _, type_, _ in ALL_TYPES
    )
    with closing(psycopg2.connect(settings.shop_dsn, password=settings.secret("shop_owner"), options="-c timezone=UTC")) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SELECT {made.replace('%%', '%')} FROM shop.things ORDER BY id")
        return [tuple(_value(value, type_) for value, (_, _, type_, _) in zip(row, ALL_TYPES, strict=True)) for row in cursor.fetchall()]


def _value(value: Any, type_: str) -> Any:
    if value is None:
        return None
    if type_ in ("DOUBLE", "FLOAT"):
        return float(value)
    if type_.startswith("DECIMAL"):
        return Decimal(value)
    return bytearray(value) if type_ == "BINARY" else value


def _frame(spark: SparkSession, rows: list[tuple[Any, ...]]) -> Any:
    """The rows in Spark; moments and days come as numbers, because Python's own end at other years."""
    plain = {"TIMESTAMP": "BIGINT", "DATE": "INT"}
    received = spark.createDataFrame(rows, ", ".join(f"`{n}` {plain.get(t, t)}" for n, _, t, _ in ALL_TYPES))
    back = {"TIMESTAMP": "timestamp_micros({0}) AS {0}", "DATE": "date_from_unix_date({0}) AS {0}"}
    return received.selectExpr(*(back.get(type_, "`{0}`").format(name) for name, _, type_, _ in ALL_TYPES))


@pytest.mark.timeout(300)
def test_every_value_of_every_type_is_one_text_on_both_sides(source: Settings, spark: SparkSession) -> None:
    with taken(source) as (_, cursor):
        table = SourceTable(cursor, "shop", THINGS)
        theirs = {row[0]: row[1:] for row in table._query(
            f"SELECT id, {table._digest}, {', '.join(canonical_text.source_text(c) for c in THINGS.columns)} FROM shop.things"
        )}  # fmt: skip
    texts = [f"{canonical_text.silver_text(c, table.types[c.name])} AS t{number}" for number, c in enumerate(THINGS.columns)]
    frame = _frame(spark, _as_landed(source))
    ours = {
        row[0]: tuple(row[1:])
        for row in frame.selectExpr("id", canonical_text.silver_digest(THINGS.columns, table.types), *texts).collect()
    }
    assert ours.keys() == theirs.keys() and len(ours) > 70
    different = {key: [pair for pair in zip(ours[key], theirs[key], strict=True) if pair[0] != pair[1]] for key in ours}
    assert {key: pairs for key, pairs in different.items() if pairs} == {}
    digests = [row[0] for row in theirs.values()]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("weight", "CAST(0.1 AS DOUBLE)", "CAST(0.10000000000000002 AS DOUBLE)"),
        ("weight", "CAST('-0.0' AS DOUBLE)", "CAST('0.0' AS DOUBLE)"),
        ("at", "TIMESTAMP'2026-01-01 00:00:00.000001Z'", "TIMESTAMP'2026-01-01 00:00:00.000002Z'"),
        ("rate", "CAST('0.000000000000000001' AS DECIMAL(38,18))", "CAST('0' AS DECIMAL(38,18))"),
        ("tags", "array('a', 'b')", "array('a,b')"),
        ("tags", "array('-')", "array(CAST(NULL AS STRING))"),
        ("tags", "CAST(array() AS ARRAY<STRING>)", "CAST(NULL AS ARRAY<STRING>)"),
        ("note", "''", "CAST(NULL AS STRING)"),
        ("note", "'N;'", "CAST(NULL AS STRING)"),
        ("raw", "X''", "X'00'"),
    ],
)
def test_values_that_differ_in_the_least_have_other_digests(spark: SparkSession, column: str, one: str, other: str) -> None:
    columns, types = [THINGS.column("id"), THINGS.column(column)], {"id": "text", column: "text"}
    digest = canonical_text.silver_digest(columns, types)
    rows = spark.sql(f"SELECT 'x' AS id, {one} AS {column} UNION ALL SELECT 'x', {other}").selectExpr(digest).collect()
    assert rows[0][0] != rows[1][0]


def test_text_that_moves_from_one_column_to_the_next_has_another_digest(spark: SparkSession) -> None:
    columns = [Column(name=name, type="STRING", doc="A text.") for name in ("a", "b")]
    digest = canonical_text.silver_digest(columns, {"a": "text", "b": "text"})
    rows = spark.sql("SELECT 'x' AS a, '1:y' AS b UNION ALL SELECT 'x1:', 'y' UNION ALL SELECT 'x1:y', ''").selectExpr(digest).collect()
    assert len({row[0] for row in rows}) == 3
