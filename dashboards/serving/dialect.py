"""Translation of the questions' SQL from Spark to DuckDB, limited to what the parity test shows to be equal on both.

A function that is not on the list is refused by name, and Spark runs the question instead.
"""

from __future__ import annotations

import functools

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from lakehouse.errors import EbapError

# Whole seconds since the epoch, rounded down before 1970 too.
MACROS = ("CREATE OR REPLACE MACRO unix_seconds(moment) AS CAST(floor(epoch(moment)) AS BIGINT)",)
_FUNCTIONS = (
    *(exp.And, exp.Or, exp.Case, exp.If, exp.Coalesce, exp.Greatest, exp.Cast, exp.TryCast),
    *(exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg, exp.RowNumber, exp.Lag),
    *(exp.Floor, exp.SafeDivide, exp.Concat, exp.Explode, exp.GenerateSeries, exp.StrToUnix, exp.Year),
    *(exp.CurrentDate, exp.CurrentTimestamp, exp.DateDiff, exp.TsOrDsToDate, exp.TsOrDsAdd, exp.TimestampTrunc),
    *(exp.JSONFormat, exp.Struct),
)
_WHOLE = (exp.DataType.Type.INT, exp.DataType.Type.BIGINT, exp.DataType.Type.SMALLINT)


@functools.lru_cache(maxsize=512)
def duckdb_sql(spark_sql: str) -> str:
    """The statement in DuckDB's dialect; raises EbapError, which names what is not on the list."""
    try:
        tree = sqlglot.parse_one(spark_sql, read="spark")
    except ParseError as error:
        raise EbapError(f"it cannot be parsed: {error.errors[0]['description'] if error.errors else error}") from None
    for function in tree.find_all(exp.Func):
        if not isinstance(function, _FUNCTIONS):
            name = function.name if isinstance(function, exp.Anonymous) else function.sql("spark").partition("(")[0]
            raise EbapError(f"{name.lower()} is not known to be equivalent in DuckDB")
    return tree.transform(_translated).sql("duckdb", comments=False)


def _translated(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.StrToUnix):
        return exp.Anonymous(this="unix_seconds", expressions=[node.this])
    if isinstance(node, (exp.Cast, exp.TryCast)) and not isinstance(node.this, (exp.Literal, exp.Column, exp.Cast, exp.TryCast)):
        kind = node.to.this
        if kind in _WHOLE:
            # Spark truncates, DuckDB rounds.
            node.set("this", exp.Anonymous(this="trunc", expressions=[node.this]))
        elif kind == exp.DataType.Type.DECIMAL:
            return _decimal(node)
    return node


def _decimal(node: exp.Expression) -> exp.Expression:
    """A cast to DECIMAL; Spark rounds a double by its decimal text (1.005 to 1.01), DuckDB by its binary value."""
    is_double = exp.EQ(this=exp.Anonymous(this="typeof", expressions=[node.this.copy()]), expression=exp.Literal.string("DOUBLE"))
    text = exp.Cast(this=node.this.copy(), to=exp.DataType.build("text"))
    as_text = node.copy()
    as_text.set("this", text)
    return exp.Case(ifs=[exp.If(this=is_double, true=as_text)], default=node.copy())
