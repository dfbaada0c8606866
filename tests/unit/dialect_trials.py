"""What the dialect's test tries on both engines: rows that are made to differ, and expressions over them."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

COLUMNS = {
    "id": "INT",
    "k": "INT",
    "i": "INT",
    "j": "INT",
    "b": "BIGINT",
    "c": "BIGINT",
    "d": "DECIMAL(10,2)",
    "e": "DECIMAL(18,2)",
    "w": "DECIMAL(30,10)",
    "x": "DOUBLE",
    "y": "DOUBLE",
    "s": "STRING",
    "u": "STRING",
    "f": "BOOLEAN",
    "g": "DATE",
    "h": "DATE",
    "t": "TIMESTAMP",
    "v": "TIMESTAMP",
}
INF, NAN = float("inf"), float("nan")


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


INTS = [0, 1, -1, 2, -2, 7, -7, 2**31 - 1, -(2**31), None]
BIGS = [0, 1, -1, 3, -3, 2**53 + 1, 2**63 - 1, -(2**63), 1_000_000, None]
MONEY = ["0.00", "0.05", "-0.05", "1.15", "-2.45", "2.45", "0.01", "99999999.99", "-99999999.99", None]
BIG_MONEY = ["0.00", "0.05", "-0.15", "1.25", "-2.35", "9999999999999999.99", "-9999999999999999.99", "1.00", "33.33", None]
WIDE = ["0", "0.0000000001", "-0.0000000001", "1.15", "12345678901234567890.1234567890", "99999999999999999999.9999999999", "-1.5"]
DOUBLES = [0.0, -0.0, 0.5, -0.5, 1.005, 2.675, 1e308, -1e308, INF, -INF, NAN, 1e-320, None]
TEXTS = ["", " ", "a", "A", "ab", " a\t", "ß", "İ", "é", "e\u0301", "\U0001f600x", "%_\\", "zz", "NULL", None]
DAYS = [
    date(1, 1, 1),
    date(1582, 10, 4),
    date(1969, 12, 31),
    date(1970, 1, 1),
    date(2024, 2, 29),
    date(2026, 1, 31),
    date(9999, 12, 31),
    None,
]
TIMES = [
    at(1, 1, 1),
    at(1900, 1, 1, 0, 0, 0, 1),
    at(1969, 12, 31, 23, 59, 59, 999_999),
    at(1970, 1, 1),
    at(2024, 2, 29, 23, 59, 59, 999_999),
    at(2026, 3, 29, 1, 30),  # an hour that Berlin does not have
    at(2026, 10, 25, 0, 30),  # and one that it has twice
    at(9999, 12, 31, 23, 59, 59, 999_999),
    None,
]
POOLS: dict[str, list[Any]] = {
    "i": INTS,
    "j": INTS,
    "b": BIGS,
    "c": BIGS,
    "d": [None if m is None else Decimal(m) for m in MONEY],
    "e": [None if m is None else Decimal(m) for m in BIG_MONEY],
    "w": [*map(Decimal, WIDE), None],
    "x": DOUBLES,
    "y": DOUBLES,
    "s": TEXTS,
    "u": TEXTS,
    "f": [True, False, None],
    "g": DAYS,
    "h": DAYS,
    "t": TIMES,
    "v": TIMES,
}


def _rows() -> list[tuple[Any, ...]]:
    """Each value of each pool, beside ever other ones of the other pools; groups of 1 to 7 rows, and one of NULLs alone."""
    strides = dict(zip(POOLS, itertools.cycle((1, 3, 7, 2, 5)), strict=False))
    made = [
        (
            number,
            number % 12,
            *(pool[(number * strides[name] + len(name) + place) % len(pool)] for place, (name, pool) in enumerate(POOLS.items())),
        )
        for number in range(60)
    ]
    return [*made, (60, 12, *(None for _ in POOLS)), (61, None, *(pool[1] for pool in POOLS.values()))]


ROWS = _rows()

# Per function: expressions of one row.
SCALARS: dict[str, list[str]] = {
    "coalesce": ["coalesce(i, j, 3)", "coalesce(d, 0)", "coalesce(s, u)", "coalesce(f, false)", "coalesce(g, h)", "coalesce(x, y)"],
    "nullif": ["nullif(i, j)", "nullif(s, u)", "nullif(x, y)", "nullif(g, h)"],
    "greatest": [
        "greatest(i, j)",
        "greatest(b, i)",
        "greatest(x, y)",
        "greatest(2 * x, 30)",
        "greatest(s, u)",
        "greatest(g, h)",
        "greatest(t, v)",
    ],
    "least": ["least(i, j)", "least(d, e)", "least(x, y)", "least(s, u)", "least(t, v)"],
    "abs": ["abs(i)", "abs(b)", "abs(d)", "abs(w)", "abs(x)"],
    "round": ["round(d, 1)", "round(e, 0)", "round(w, 3)", "round(d, 2)", "round(d, 5)"],
    "current_date": ["current_date() = current_date", "g < current_date()", "datediff(current_date(), DATE'2026-01-01') > 0"],
    "current_timestamp": ["t < current_timestamp()", "CAST(current_timestamp() AS DATE) = current_date()"],
    "date_add": ["date_add(g, i % 10000)", "date_add(g, 3)", "date_add(CAST(t AS DATE), -3)"],
    "date_sub": ["date_sub(g, i % 10000)", "date_sub(g, 28)"],
    "datediff": ["datediff(g, h)", "datediff(CAST(t AS DATE), g)", "datediff(g, h) / 3"],
    "date_trunc": [f"date_trunc('{unit}', t)" for unit in ("year", "quarter", "month", "week", "day", "hour", "minute", "second")],
    "last_day": ["last_day(g)", "last_day(CAST(t AS DATE))"],
    "year": ["year(g)", "year(t)"],
    "quarter": ["quarter(g)"],
    "month": ["month(g)", "month(t)"],
    "day": ["day(g)", "day(t)"],
    "hour": ["hour(t)"],
    "minute": ["minute(t)"],
    "weekofyear": ["weekofyear(g)"],
    "dayofweek": ["dayofweek(g)"],
    "unix_micros": ["unix_micros(t)"],
    "unix_timestamp": ["unix_timestamp(t)"],
    "length": ["length(s)"],
    "substring": ["substring(s, 1, 1)", "substring(s, 2, 5)", "substring(s, -1, 1)", "substring(s, 0, 2)", "substring(s, i, 2)"],
    "replace": ["replace(s, 'a', 'bb')", "replace(s, u, '-')", "replace(s, '', '-')"],
    "concat": ["concat(s, u)", "concat(s, '-', u, '')"],
    "startswith": ["startswith(s, u)", "startswith(s, '')"],
    "endswith": ["endswith(s, u)"],
    "contains": ["contains(s, u)"],
    # Constructs
    "+": ["i + j", "b + c", "d + e", "e + e", "w + d", "x + y", "i + d", "b + x"],
    "-": ["i - j", "b - c", "d - e", "d - w", "x - y", "-i", "-b", "-d", "-x"],
    "*": ["i * j", "b * c", "i * d", "d * d", "e * d", "e * e", "j * e", "w * 7", "x * y", "2 * x", "d * 0.1", "d * 1.15"],
    "/": ["i / j", "b / c", "x / y", "i / x", "(b - c) / 7", "i / 3"],
    "div": ["i DIV j", "b DIV c", "b DIV 7", "(i DIV 2) * 3"],
    "%": ["i % j", "b % c", "b % 7"],
    "cast": [
        *(
            "CAST(i AS BIGINT)",
            "CAST(b AS INT)",
            "CAST(b AS DOUBLE)",
            "CAST(i AS DECIMAL(5,2))",
            "CAST(b AS DECIMAL(38,2))",
            "CAST(b AS STRING)",
        ),
        *(
            "CAST(d AS DECIMAL(9,1))",
            "CAST(w AS DECIMAL(18,2))",
            "CAST(e AS DECIMAL(12,0))",
            "CAST(d AS DECIMAL(20,4))",
            "CAST(d AS DOUBLE)",
        ),
        *("CAST(t AS DATE)", "CAST(g AS TIMESTAMP)", "CAST(i AS SMALLINT)", "CAST(NULL AS TIMESTAMP)", "DATE'2026-01-01'"),
    ],
    "compare": [
        *(
            "i < j",
            "b >= i",
            "d = e",
            "d <> 0.05",
            "x < y",
            "x = y",
            "x > 0",
            "s < u",
            "s = u",
            "f = true",
            "g < h",
            "t <= v",
            "t > TIMESTAMP'2026-01-01'",
        ),
        *("i <=> j", "s <=> u", "x <=> y", "i IS NULL", "s IS NOT NULL", "NOT f", "f AND i > 0", "f OR i > 0"),
        *(
            "i BETWEEN -1 AND j",
            "d NOT BETWEEN 0 AND e",
            "i IN (1, 2, NULL)",
            "i NOT IN (1, 2, NULL)",
            "s IN ('a', '')",
            "g IN (DATE'2026-01-31')",
        ),
    ],
    "case": [
        "CASE WHEN i > 0 THEN i WHEN f THEN j END",
        "CASE i WHEN 1 THEN 's' ELSE s END",
        "CASE WHEN f THEN x ELSE 15 END",
        "CASE WHEN i <> 0 THEN 1 / i END",
    ],
}
# Per function: expressions of a group of rows.
AGGREGATES: dict[str, list[str]] = {
    "count": [
        "count(*)",
        "count(i)",
        "count(DISTINCT s)",
        "count(DISTINCT d)",
        "count(DISTINCT x)",
        "count(*) FILTER (WHERE f)",
        "count(DISTINCT t)",
    ],
    "sum": [
        "sum(i)",
        "sum(b) FILTER (WHERE b BETWEEN -1000000 AND 1000000)",
        "sum(d)",
        "sum(e)",
        "sum(w)",
        "sum(i * d)",
        "CAST(sum(i * d) AS DECIMAL(18,2))",
        "sum(DISTINCT i)",
        "sum(CASE WHEN f THEN i END)",
        "sum(i) FILTER (WHERE f)",
        "sum(i) / 3",
        "sum(i) DIV 2",
        "sum(i) * 0.1",
    ],
    "min": [f"min({name})" for name in ("i", "b", "d", "x", "s", "f", "g", "t")],
    "max": [f"max({name})" for name in ("i", "b", "d", "x", "s", "f", "g", "t")],
    "bool_or": ["bool_or(f)", "bool_or(i > j)"],
    "bool_and": ["bool_and(f)"],
    "min_by": ["min_by(s, id)", "min_by(j, CASE WHEN f THEN id END)", "min_by(d, id) FILTER (WHERE f)"],
    "max_by": ["max_by(s, id)", "max_by(j, CASE WHEN f THEN id END)"],
}
_OVER = "OVER (PARTITION BY k ORDER BY {} id)"
WINDOWS: dict[str, list[str]] = {
    "row_number": [f"row_number() {_OVER.format(name)}" for name in ("i,", "s DESC,", "x,", "t DESC,", "d DESC NULLS LAST,", "f,")],
    "rank": ["rank() OVER (PARTITION BY k ORDER BY f)", "rank() OVER (PARTITION BY f ORDER BY x DESC)"],
    "dense_rank": ["dense_rank() OVER (PARTITION BY f ORDER BY s)"],
    "lag": [f"lag(i) {_OVER.format('')}", f"lag(s, 2, '-') {_OVER.format('t,')}"],
    "lead": [f"lead(d) {_OVER.format('')}", f"lead(t, 2) {_OVER.format('')}"],
    "frames": [
        *("min(t) OVER (PARTITION BY k)", "count(*) OVER (PARTITION BY f ORDER BY s)", "sum(i) OVER (PARTITION BY f ORDER BY g)"),
        "max(t) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        "sum(i) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)",
        "max(t) OVER (PARTITION BY k ORDER BY g ASC NULLS FIRST, id ASC NULLS LAST ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
    ],
}
# Whole queries.
QUERIES: dict[str, str] = {
    "joins": "SELECT a.id, b.id AS other FROM silver.extremes AS a LEFT JOIN silver.extremes AS b ON b.i = a.j AND b.s <=> a.u",
    "full join": "SELECT a.id, b.id AS other FROM silver.extremes AS a FULL JOIN silver.extremes AS b ON b.x = a.y",
    "semi and anti": "SELECT a.id FROM silver.extremes AS a LEFT SEMI JOIN silver.extremes AS b ON b.i = a.j"
    " UNION ALL SELECT a.id FROM silver.extremes AS a LEFT ANTI JOIN silver.extremes AS b ON b.s = a.u",
    "in and exists": "SELECT a.id FROM silver.extremes AS a WHERE a.i IN (SELECT b.j FROM silver.extremes AS b WHERE b.f)"
    " OR EXISTS (SELECT b.id FROM silver.extremes AS b WHERE b.s = a.u AND b.id <> a.id)",
    "not in with NULL": "SELECT a.id FROM silver.extremes AS a WHERE a.i NOT IN (SELECT b.j FROM silver.extremes AS b)",
    "union": "SELECT x, s, d FROM silver.extremes UNION SELECT y, u, e FROM silver.extremes",
    "group by having": "SELECT s, f, count(*) AS n, max(x) AS m FROM silver.extremes GROUP BY s, f HAVING count(*) > 1",
    "groups of days and doubles": "SELECT x, g, count(*) AS n FROM silver.extremes GROUP BY x, g",
    "distinct": "SELECT DISTINCT x, f FROM silver.extremes",
    "with": "WITH a AS (SELECT k, sum(i) AS n FROM silver.extremes WHERE i < 100 GROUP BY k) SELECT a.k, a.n, e.id FROM a"
    " JOIN silver.extremes AS e ON e.k = a.k",
    "no rows": "SELECT count(*) AS n, sum(i) AS i, min(s) AS s, max_by(s, i) AS b FROM silver.extremes WHERE id < 0",
}

REFUSED = {
    "SELECT upper(s) AS made FROM silver.extremes": "function upper() is not supported on both",
    "SELECT avg(i) AS made FROM silver.extremes": "function avg() is not supported on both",
    "SELECT try_cast(s AS INT) AS made FROM silver.extremes": "try_cast is not supported on both",
    "SELECT substr(s, 1) AS made FROM silver.extremes": "function substr() is not supported on both",
    "SELECT trim(s) AS made FROM silver.extremes": "function trim() is not supported on both",
    "SELECT i FROM silver.extremes WHERE s LIKE 'a%'": "like is not supported on both",
    "SELECT i FROM silver.extremes ORDER BY i LIMIT 3": "limit is not supported on both",
    "SELECT * FROM silver.extremes": "name the columns",
    "SELECT CAST(x AS INT) AS made FROM silver.extremes": "a double cast to a whole differs between the engines",
    "SELECT CAST(s AS INT) AS made FROM silver.extremes": "a text cast to a whole",
    "SELECT CAST(d AS BIGINT) AS made FROM silver.extremes": "a decimal cast to a whole",
    "SELECT CAST(w AS DOUBLE) AS made FROM silver.extremes": "a decimal of more than 15 digits",
    "SELECT d / e AS made FROM silver.extremes": "the quotient of decimals differs",
    "SELECT sum(x) AS made FROM silver.extremes": "the sum of doubles depends on the order",
    "SELECT round(x, 1) AS made FROM silver.extremes": "round() of a double",
    "SELECT w * w AS made FROM silver.extremes": "the result may need 61 digits, more than 38",
    "SELECT i FROM silver.extremes WHERE s = 1": "text and whole are combined",
    "SELECT i FROM silver.extremes WHERE g > '2026-01-01'": "day and text are combined",
    "SELECT i FROM silver.extremes WHERE x > d": "decimal and double are combined",
    "SELECT count(i, j) AS made FROM silver.extremes": "count() takes one argument",
    "SELECT i + lost AS made FROM silver.extremes": "lost",
    "SELECT i FROM silver.nowhere": "could not be resolved",
    "SELECT FROM WHERE": "is not valid SQL",
}
