"""Functions that gold's SQL may use: those that return the same on Spark and on DuckDB, as a test verifies.

`tests/unit/test_gold_dialect.py` runs each one on both engines. Excluded, because they differ: `round`, `floor` and `ceil` of doubles,
`avg` and every other sum of doubles (depends on the order), `upper` and `lower` ('ß', 'İ'), `trim` of characters other than spaces, `like`
(its escape), everything that reads or writes a number or a time as text, `count_if` (NULL for no rows: use `count(*) FILTER (WHERE ...)`),
and functions without an order: `first`, `last`, `collect_list`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, kw_only=True)
class Function:
    """The DuckDB form of a Spark function.

    It has the same name unless `name` is set (for an aggregate, since a macro takes no FILTER, DISTINCT or OVER), or is a macro
    `spark_<name>` with `parameters` and `body`; `type` is then the type of Spark's function.
    """

    name: str | None = None
    parameters: str = ""
    body: str = ""
    type: str = ""


_SAME = Function()
_PART = "extract('{}' FROM CAST(moment AS TIMESTAMPTZ))"

FUNCTIONS: dict[str, Function] = {
    # Conditions
    "coalesce": _SAME,
    "nullif": _SAME,
    "greatest": _SAME,
    "least": _SAME,
    # Numbers; the rules on types are in `rules`
    "abs": _SAME,
    "round": _SAME,
    # Aggregates
    "count": _SAME,
    "sum": _SAME,
    "min": _SAME,
    "max": _SAME,
    "bool_or": _SAME,
    "bool_and": _SAME,
    # DuckDB's functions of these names skip rows whose value is NULL; Spark's do not.
    "min_by": Function(name="arg_min_null"),
    "max_by": Function(name="arg_max_null"),
    # Windows
    "row_number": _SAME,
    "rank": _SAME,
    "dense_rank": _SAME,
    "lag": _SAME,
    "lead": _SAME,
    # Days and times; the session's time zone is UTC on both
    "current_date": Function(parameters="", body="current_date", type="DATE"),
    "current_timestamp": Function(parameters="", body="current_timestamp", type="TIMESTAMP"),
    "date_add": Function(parameters="day, days", body="CAST(day AS DATE) + days", type="DATE"),
    "date_sub": Function(parameters="day, days", body="CAST(day AS DATE) - days", type="DATE"),
    "datediff": Function(parameters="later, earlier", body="CAST(later AS DATE) - CAST(earlier AS DATE)", type="INT"),
    "date_trunc": Function(parameters="unit, moment", body="date_trunc(unit, CAST(moment AS TIMESTAMPTZ))", type="TIMESTAMP"),
    "last_day": Function(parameters="day", body="last_day(CAST(day AS DATE))", type="DATE"),
    "year": Function(parameters="moment", body=_PART.format("year"), type="INT"),
    "quarter": Function(parameters="moment", body=_PART.format("quarter"), type="INT"),
    "month": Function(parameters="moment", body=_PART.format("month"), type="INT"),
    "day": Function(parameters="moment", body=_PART.format("day"), type="INT"),
    "hour": Function(parameters="moment", body=_PART.format("hour"), type="INT"),
    "minute": Function(parameters="moment", body=_PART.format("minute"), type="INT"),
    "weekofyear": Function(parameters="moment", body=_PART.format("week"), type="INT"),
    # Sunday is 1.
    "dayofweek": Function(parameters="moment", body=f"{_PART.format('dow')} + 1", type="INT"),
    "unix_micros": Function(parameters="moment", body="epoch_us(moment)", type="BIGINT"),
    # Whole seconds, truncated towards 1970.
    "unix_timestamp": Function(parameters="moment", body="epoch_us(moment) // 1000000", type="BIGINT"),
    # Texts
    "length": _SAME,
    "substring": Function(
        parameters="of, start, long", body="substring(of, CASE WHEN start = 0 THEN 1 ELSE start END, long)", type="STRING"
    ),
    "replace": _SAME,
    # NULL if any argument is; DuckDB's `concat` skips NULLs.
    "concat": _SAME,
    "startswith": Function(parameters="text, start", body="starts_with(text, start)", type="BOOLEAN"),
    "endswith": Function(parameters="text, tail", body="ends_with(text, tail)", type="BOOLEAN"),
    "contains": Function(parameters="text, part", body="contains(text, part)", type="BOOLEAN"),
}

# Whole numbers and doubles; an error if the divisor is 0 and the dividend is not NULL.
DIVISIONS = {"divide": "/", "div": "//", "mod": "%"}
PREFIX = "spark_"


@cache
def macros() -> dict[str, str]:
    """The statements that create the macros called by translated SQL, by name; each is safe to repeat."""
    by_zero = "CASE WHEN a IS NOT NULL AND b = 0 THEN error('division by zero')"
    definitions = {name: ("a, b", f"{by_zero} ELSE a {operator} b END") for name, operator in DIVISIONS.items()}
    definitions |= {name: (each.parameters, each.body) for name, each in FUNCTIONS.items() if each.type}
    return {
        f"{PREFIX}{name}": f"CREATE OR REPLACE MACRO {PREFIX}{name}({parameters}) AS {body}"
        for name, (parameters, body) in definitions.items()
    }
