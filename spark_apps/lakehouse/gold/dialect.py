"""The subset of Spark SQL that DuckDB runs with the same result; everything else is rejected with name and line.

Supported are the functions of `functions`, the constructs below, and the types of `rules`. All types are known: the tables that a query may
read are given with their columns, as Spark types by schema and table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import OptimizeError, ParseError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from lakehouse.errors import EbapError
from lakehouse.gold import rules
from lakehouse.gold.functions import FUNCTIONS, PREFIX
from lakehouse.gold.readable import Columns

_NATIVE = {name for name, function in FUNCTIONS.items() if not function.type}
_CONSTRUCTS = (
    *(exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.With, exp.CTE, exp.Union, exp.Subquery, exp.Exists),
    *(exp.Table, exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Distinct, exp.Var),
    *(exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Tuple, exp.Case, exp.If, exp.Cast, exp.DataType, exp.DataTypeParam),
    *(exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.Is, exp.In, exp.Between),
    *(exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod),
    *(exp.Window, exp.WindowSpec, exp.Order, exp.Ordered, exp.Filter),
)


class AnsiSpark(Spark):
    """Spark's grammar with ANSI casts; a function that sqlglot does not translate keeps its name."""

    EXPRESSION_METADATA = {  # noqa: RUF012
        **Spark.EXPRESSION_METADATA,
        **{each: {"annotator": lambda self, node: self._annotate_by_args(node, "this")} for each in (exp.ArgMin, exp.ArgMax)},
    }

    class Parser(Spark.Parser):  # type: ignore[misc,valid-type]
        STRICT_CAST = True
        FUNCTIONS: ClassVar[dict[str, Any]] = {name: maker for name, maker in Spark.Parser.FUNCTIONS.items() if name.lower() in _NATIVE}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: parser for name, parser in Spark.Parser.FUNCTION_PARSERS.items() if name in ("CAST", "TRY_CAST")
        }


def faults(sql: str, columns: Columns, output: Mapping[str, str] | None = None) -> list[tuple[int, str]]:
    """What the engines do differently or do not support, as (line, reason); empty if the query is valid.

    `output` are the required columns with their declared types.
    """
    try:
        tree = _parsed(sql)
    except ParseError as error:
        return [(_line_of(error), f"is not valid SQL: {error.errors[0].get('description', '')}")]
    found = list(_forbidden(tree))
    if found:
        return found
    try:
        typed = _typed(tree, columns)
    except OptimizeError as error:
        return [(_line_of(error), str(error).splitlines()[0])]
    found = [(line(node), reason) for node, reason in rules.faults(typed)]
    return found + [(1, reason) for reason in rules.output_faults(typed, output or {})]


def to_duckdb(sql: str, columns: Columns) -> str:
    """The query for DuckDB, after the macros it calls are created; raises EbapError if the engines' results would differ."""
    found = faults(sql, columns)
    if found:
        raise EbapError("; ".join(f"line {line}: {reason}" for line, reason in found))
    return rules.translated(_typed(_parsed(sql), columns)).sql(dialect="duckdb", comments=False)


def typed(sql: str, columns: Columns) -> rules.Node:
    """The query's tree, with each column's table and each expression's type."""
    return _typed(_parsed(sql), columns)


def _parsed(sql: str) -> rules.Node:
    return sqlglot.parse_one(sql, dialect=AnsiSpark)


def _typed(tree: rules.Node, columns: Columns) -> rules.Node:
    """The tree with each column's table and each expression's type; translated functions carry their type as a cast."""
    schema = MappingSchema({db: {name: dict(of) for name, of in named.items()} for db, named in columns.items()}, dialect=AnsiSpark)
    named = rules.rewritten(tree.copy(), _with_type)
    qualified = qualify(named, schema=schema, dialect=AnsiSpark, validate_qualify_columns=True)
    return annotate_types(qualified, schema=schema, dialect=AnsiSpark)


def _with_type(node: rules.Node) -> rules.Node:
    if isinstance(node, exp.Anonymous):
        called = exp.Anonymous(this=f"{PREFIX}{node.name.lower()}", expressions=node.expressions)
        called.meta.update(node.meta)
        return rules.pinned(called, FUNCTIONS[node.name.lower()].type)
    if isinstance(node, exp.Literal) and not node.is_string and not node.this.isdigit():
        return rules.pinned(node.copy(), rules.type_of_number(node.this))
    return node


def _forbidden(tree: rules.Node) -> Iterator[tuple[int, str]]:
    """Unsupported functions and constructs."""
    for node in tree.walk():
        if isinstance(node, exp.Anonymous):
            if node.name.lower() not in FUNCTIONS:
                yield line(node), f"function {node.name}() is not supported on both engines"
        elif isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
            yield line(node), "name the columns instead of *"
        elif isinstance(node, exp.TryCast):
            yield line(node), "try_cast is not supported on both engines"
        elif isinstance(node, exp.Func) and not isinstance(node, (*_CONSTRUCTS, exp.Connector)):
            if not set(map(str.lower, node.sql_names())) & _NATIVE and not _is_native(node):
                yield line(node), f"function {node.sql_name().lower()}() is not supported on both engines"
        elif not isinstance(node, _CONSTRUCTS):
            yield line(node), f"{node.key} is not supported on both engines"


@cache
def _native_classes() -> frozenset[type]:
    """sqlglot's classes of functions whose class name differs from the function's."""
    calls = ("min_by(a, b)", "max_by(a, b)", "nullif(a, b)", "bool_or(a)", "bool_and(a)")
    return frozenset(type(sqlglot.parse_one(call, dialect=AnsiSpark)) for call in calls)


def _is_native(node: rules.Node) -> bool:
    return type(node) in _native_classes() or isinstance(node, exp.CurrentDate | exp.CurrentTimestamp)


def line(node: rules.Node) -> int:
    """The line of a node: its own, or the first known one within it, or one around it."""
    for found in node.walk():
        if "line" in found.meta:
            return int(found.meta["line"])
    return line(node.parent) if node.parent else 1


def _line_of(error: ParseError | OptimizeError) -> int:
    details = getattr(error, "errors", None)
    if details:
        return int(details[0].get("line") or 1)
    tokens = str(error).replace(",", " ").split()
    return next((int(after) for token, after in pairwise(tokens) if token == "Line:" and after.isdigit()), 1)
