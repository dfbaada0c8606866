"""Compiler of Spark SQL conditions on a row to Python functions with three-valued logic.

Supported: columns, literals, comparisons of values of one kind, AND, OR, NOT, IN, BETWEEN, LIKE, IS [NOT] NULL, IS [NOT] TRUE or FALSE,
<=>, `length` and `coalesce`. Any other construct is an error that names it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.contract import Table
from lakehouse.errors import ContractError
from lakehouse.transforms.records.condition_parts import NUMBERS, Part, as_double, cast, constant, kind, literal, read_as
from lakehouse.transforms.records.keys import Values
from lakehouse.transforms.records.three_valued import Compare, Condition, both, compared, either, negated

_COMPARISONS: dict[type[exp.Expr], Compare] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}


def compiled(table: Table, condition: str) -> Condition:
    """The compiled condition over a row that begins with the declared columns: True, False or None. Raises ContractError."""
    try:
        tree = sqlglot.parse_one(condition, read="spark")
    except SqlglotError as error:
        raise ContractError(f"{condition!r} is not a condition: {str(error).splitlines()[0]}") from error
    part = _Compiler(table).part(tree)
    if part.kind not in ("bool", "null"):
        raise ContractError(f"{condition!r} is not a condition: its value is not a boolean")
    return part.value


# Supported arguments of an expression; any other one would change its meaning.
_KNOWN_ARGS = frozenset(("this", "expression", "expressions", "low", "high", "is_string", "to", "table", "negate", "query", "is_nvl"))


class _Compiler:
    """Compiles the expressions of one condition over one table."""

    def __init__(self, table: Table) -> None:
        self._columns = {column.name: (place, kind(column.type)) for place, column in enumerate(table.columns)}
        self._table = table
        self._of: dict[type[exp.Expr], Callable[[Any], Part]] = {
            exp.Paren: lambda node: self.part(node.this),
            exp.Column: self._column,
            exp.Literal: literal,
            exp.Boolean: lambda node: constant("bool", bool(node.this)),
            exp.Null: lambda _: constant("null", None),
            exp.Neg: self._negative,
            exp.Cast: cast,
            exp.And: lambda node: self._joined(node, both),
            exp.Or: lambda node: self._joined(node, either),
            exp.Not: self._not,
            exp.Is: self._is,
            exp.NullSafeEQ: self._null_safe,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Like: self._like,
            exp.Length: self._length,
            exp.Coalesce: self._coalesce,
            **dict.fromkeys(_COMPARISONS, lambda node: self._compared(node, _COMPARISONS[type(node)])),
        }

    def part(self, node: exp.Expr) -> Part:
        """The expression, compiled; raises ContractError."""
        compile_ = self._of.get(type(node))
        if compile_ is None:
            raise ContractError(f"{node.sql(dialect='spark')}: {node.key.upper()} is not supported")
        unsupported = [name for name, value in node.args.items() if value and name not in _KNOWN_ARGS]
        if unsupported:
            raise ContractError(f"{node.sql(dialect='spark')}: {', '.join(unsupported).upper()} is not supported")
        part = compile_(node)
        return Part("bool", negated(part.value)) if node.args.get("negate") else part

    def _column(self, node: exp.Column) -> Part:
        name = node.name.lower()
        if node.table or name not in self._columns:
            raise ContractError(f"{node.sql(dialect='spark')} is not a column of {self._table.name}")
        place, kind = self._columns[name]
        return Part(kind, operator.itemgetter(place))

    def _boolean(self, node: exp.Expr) -> Callable[[Values], bool | None]:
        part = self.part(node)
        if part.kind not in ("bool", "null"):
            raise ContractError(f"{node.sql(dialect='spark')} is not a boolean")
        return part.value

    def _joined(self, node: exp.And | exp.Or, join: Callable[[Condition, Condition], Condition]) -> Part:
        return Part("bool", join(self._boolean(node.left), self._boolean(node.right)))

    def _not(self, node: exp.Not) -> Part:
        return Part("bool", negated(self._boolean(node.this)))

    def _is(self, node: exp.Is) -> Part:
        value, what = self.part(node.this).value, node.expression
        if isinstance(what, exp.Null):
            return Part("bool", lambda row: value(row) is None)
        if isinstance(what, exp.Boolean):
            wanted = bool(what.this)
            held = self._boolean(node.this)
            return Part("bool", lambda row: held(row) is wanted)
        raise ContractError(f"{node.sql(dialect='spark')} is not supported")

    def _compared(self, node: exp.Binary, compare: Compare) -> Part:
        left, right = self._pair(node, self.part(node.left), self.part(node.right))
        return Part("bool", compared(left.value, right.value, compare))

    def _null_safe(self, node: exp.NullSafeEQ) -> Part:
        left, right = self._pair(node, self.part(node.left), self.part(node.right))
        mine, theirs = left.value, right.value

        def same(row: Values) -> bool:
            a, b = mine(row), theirs(row)
            return a is b if a is None or b is None else bool(a == b)

        return Part("bool", same)

    def _in(self, node: exp.In) -> Part:
        if node.args.get("query"):
            raise ContractError(f"{node.sql(dialect='spark')}: only a list of values is supported")
        value = self.part(node.this)
        pairs = [self._pair(node, value, self.part(option)) for option in node.expressions]
        checks = [compared(left.value, right.value, operator.eq) for left, right in pairs]

        def is_in(row: Values) -> bool | None:
            found = [check(row) for check in checks]
            return True if True in found else None if None in found else False

        if all(right.literal is not None and left.kind != "double" for left, right in pairs):
            options = frozenset(right.literal for _, right in pairs)
            mine = pairs[0][0].value
            return Part("bool", lambda row: None if (got := mine(row)) is None else got in options)
        return Part("bool", is_in)

    def _between(self, node: exp.Between) -> Part:
        value = self.part(node.this)
        low, least = self._pair(node, value, self.part(node.args["low"]))
        high, greatest = self._pair(node, value, self.part(node.args["high"]))
        return Part("bool", both(compared(low.value, least.value, operator.ge), compared(high.value, greatest.value, operator.le)))

    def _like(self, node: exp.Like) -> Part:
        text, pattern = self.part(node.this), self.part(node.expression)
        if text.kind != "text" or not isinstance(pattern.literal, str) or "\\" in pattern.literal:
            raise ContractError(f"{node.sql(dialect='spark')}: only text LIKE a literal without escapes is supported")
        signs = {"%": ".*", "_": "."}
        matches = re.compile("".join(signs.get(sign, re.escape(sign)) for sign in pattern.literal), re.DOTALL).fullmatch
        return Part("bool", lambda row: None if (got := text.value(row)) is None else matches(got) is not None)

    def _negative(self, node: exp.Neg) -> Part:
        part = self.part(node.this)
        if part.kind not in NUMBERS:
            raise ContractError(f"{node.sql(dialect='spark')} is not a number")
        if part.literal is not None:
            return constant(part.kind, -part.literal)
        return Part(part.kind, lambda row: None if (got := part.value(row)) is None else -got)

    def _length(self, node: exp.Length) -> Part:
        part = self.part(node.this)
        if part.kind not in ("text", "bytes"):
            raise ContractError(f"{node.sql(dialect='spark')}: only text or bytes have a length")
        return Part("whole", lambda row: None if (got := part.value(row)) is None else len(got))

    def _coalesce(self, node: exp.Coalesce) -> Part:
        parts = [self.part(node.this), *(self.part(option) for option in node.expressions)]
        kinds = {part.kind for part in parts} - {"null"}
        kinds = {"decimal"} if kinds == {"decimal", "whole"} else kinds
        if len(kinds) > 1:
            raise ContractError(f"{node.sql(dialect='spark')}: values of different kinds ({', '.join(sorted(kinds))})")
        values = [part.value for part in parts]
        return Part(kinds.pop() if kinds else "null", lambda row: next((got for value in values if (got := value(row)) is not None), None))

    def _pair(self, node: exp.Expr, left: Part, right: Part) -> tuple[Part, Part]:
        """Both sides of a comparison, converted to one kind; raises ContractError where that is not possible."""
        if "null" in (left.kind, right.kind) or (left.kind == right.kind and left.kind != "double"):
            return left, right
        if left.kind in NUMBERS and right.kind in NUMBERS:
            return (as_double(left), as_double(right)) if "double" in (left.kind, right.kind) else (left, right)
        converted = read_as(left, right.kind), read_as(right, left.kind)
        if converted[0].kind != converted[1].kind:
            raise ContractError(f"{node.sql(dialect='spark')} compares {left.kind} with {right.kind}")
        return converted
