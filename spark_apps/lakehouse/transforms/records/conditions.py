"""A Spark SQL condition over the columns of a row as a Python function with three-valued logic.

Supported: columns, literals, comparisons of values of one kind, AND, OR, NOT, IN, BETWEEN, LIKE, IS [NOT] NULL, IS [NOT] TRUE or
FALSE, <=>, `length` and `coalesce`. Anything else is an error that names it: what is not known to mean the same is not guessed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.contract import Table
from lakehouse.transforms.records.keys import Values
from lakehouse.transforms.records.values import reader

Condition = Callable[[Values], bool | None]
_Compare = Callable[[Any, Any], bool]

_NUMBERS = ("whole", "decimal", "double")
_COMPARISONS: dict[type[exp.Expression], _Compare] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}


class UnsupportedError(ValueError):
    """A condition that cannot be compiled; the message names the construct."""


@dataclass(frozen=True)
class _Part:
    """A compiled expression: the kind of its value (whole, decimal, double, text, bool, date, instant, bytes, texts or null), and how
    it comes by it; `literal` where it is one."""

    kind: str
    value: Callable[[Values], Any]
    literal: Any = None


def compiled(table: Table, condition: str) -> Condition:
    """The condition over a row that begins with the table's declared columns: True, False or None. Raises UnsupportedError."""
    try:
        tree = sqlglot.parse_one(condition, read="spark")
    except SqlglotError as error:
        raise UnsupportedError(f"{condition!r} is no condition: {str(error).splitlines()[0]}") from error
    part = _Compiler(table).part(tree)
    if part.kind not in ("bool", "null"):
        raise UnsupportedError(f"{condition!r} is no condition: it is neither true nor false")
    return part.value


class _Compiler:
    """Compiles the expressions of one condition over one table."""

    def __init__(self, table: Table) -> None:
        self._columns = {column.name: (place, _kind(column.type)) for place, column in enumerate(table.columns)}
        self._table = table
        self._of: dict[type[exp.Expression], Callable[[Any], _Part]] = {
            exp.Paren: lambda node: self.part(node.this),
            exp.Column: self._column,
            exp.Literal: _literal,
            exp.Boolean: lambda node: _constant("bool", bool(node.this)),
            exp.Null: lambda _: _constant("null", None),
            exp.Neg: self._negative,
            exp.Cast: _cast,
            exp.And: lambda node: self._joined(node, _and),
            exp.Or: lambda node: self._joined(node, _or),
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

    def part(self, node: exp.Expression) -> _Part:
        """The expression, compiled; raises UnsupportedError."""
        compile_ = self._of.get(type(node))
        if compile_ is None:
            raise UnsupportedError(f"{node.sql(dialect='spark')}: {node.key.upper()} is not supported")
        return compile_(node)

    def _column(self, node: exp.Column) -> _Part:
        name = node.name.lower()
        if node.table or name not in self._columns:
            raise UnsupportedError(f"{node.sql(dialect='spark')} is no column of {self._table.name}")
        place, kind = self._columns[name]
        return _Part(kind, operator.itemgetter(place))

    def _boolean(self, node: exp.Expression) -> Callable[[Values], bool | None]:
        part = self.part(node)
        if part.kind not in ("bool", "null"):
            raise UnsupportedError(f"{node.sql(dialect='spark')} is neither true nor false")
        return part.value

    def _joined(self, node: exp.And | exp.Or, join: Callable[[Condition, Condition], Condition]) -> _Part:
        return _Part("bool", join(self._boolean(node.left), self._boolean(node.right)))

    def _not(self, node: exp.Not) -> _Part:
        inner = self._boolean(node.this)
        return _Part("bool", lambda row: None if (held := inner(row)) is None else not held)

    def _is(self, node: exp.Is) -> _Part:
        value, what = self.part(node.this).value, node.expression
        if isinstance(what, exp.Null):
            return _Part("bool", lambda row: value(row) is None)
        if isinstance(what, exp.Boolean):
            wanted = bool(what.this)
            held = self._boolean(node.this)
            return _Part("bool", lambda row: held(row) is wanted)
        raise UnsupportedError(f"{node.sql(dialect='spark')} is not supported")

    def _compared(self, node: exp.Binary, compare: _Compare) -> _Part:
        left, right = self._pair(node, self.part(node.left), self.part(node.right))
        return _Part("bool", _compared(left.value, right.value, compare))

    def _null_safe(self, node: exp.NullSafeEQ) -> _Part:
        left, right = self._pair(node, self.part(node.left), self.part(node.right))
        mine, theirs = left.value, right.value

        def same(row: Values) -> bool:
            a, b = mine(row), theirs(row)
            return a is b if a is None or b is None else bool(a == b)

        return _Part("bool", same)

    def _in(self, node: exp.In) -> _Part:
        if node.args.get("query") or node.args.get("unnest"):
            raise UnsupportedError(f"{node.sql(dialect='spark')}: only a list of values is supported")
        value = self.part(node.this)
        pairs = [self._pair(node, value, self.part(option)) for option in node.expressions]
        checks = [_compared(left.value, right.value, operator.eq) for left, right in pairs]

        def is_in(row: Values) -> bool | None:
            found = [check(row) for check in checks]
            return True if True in found else None if None in found else False

        if all(right.literal is not None and left.kind != "double" for left, right in pairs):
            options = frozenset(right.literal for _, right in pairs)
            mine = pairs[0][0].value
            return _Part("bool", lambda row: None if (got := mine(row)) is None else got in options)
        return _Part("bool", is_in)

    def _between(self, node: exp.Between) -> _Part:
        value = self.part(node.this)
        low, least = self._pair(node, value, self.part(node.args["low"]))
        high, greatest = self._pair(node, value, self.part(node.args["high"]))
        return _Part("bool", _and(_compared(low.value, least.value, operator.ge), _compared(high.value, greatest.value, operator.le)))

    def _like(self, node: exp.Like) -> _Part:
        text, pattern = self.part(node.this), self.part(node.expression)
        if text.kind != "text" or not isinstance(pattern.literal, str) or "\\" in pattern.literal:
            raise UnsupportedError(f"{node.sql(dialect='spark')}: only text LIKE a literal without escapes is supported")
        signs = {"%": ".*", "_": "."}
        matches = re.compile("".join(signs.get(sign, re.escape(sign)) for sign in pattern.literal), re.DOTALL).fullmatch
        return _Part("bool", lambda row: None if (got := text.value(row)) is None else matches(got) is not None)

    def _negative(self, node: exp.Neg) -> _Part:
        part = self.part(node.this)
        if part.kind not in _NUMBERS:
            raise UnsupportedError(f"{node.sql(dialect='spark')} is no number")
        if part.literal is not None:
            return _constant(part.kind, -part.literal)
        return _Part(part.kind, lambda row: None if (got := part.value(row)) is None else -got)

    def _length(self, node: exp.Length) -> _Part:
        part = self.part(node.this)
        if part.kind not in ("text", "bytes"):
            raise UnsupportedError(f"{node.sql(dialect='spark')}: only a text or bytes have a length")
        return _Part("whole", lambda row: None if (got := part.value(row)) is None else len(got))

    def _coalesce(self, node: exp.Coalesce) -> _Part:
        parts = [self.part(node.this), *(self.part(option) for option in node.expressions)]
        kinds = {part.kind for part in parts} - {"null"}
        kinds = {"decimal"} if kinds == {"decimal", "whole"} else kinds
        if len(kinds) > 1:
            raise UnsupportedError(f"{node.sql(dialect='spark')}: values of different kinds ({', '.join(sorted(kinds))})")
        values = [part.value for part in parts]
        return _Part(kinds.pop() if kinds else "null", lambda row: next((got for value in values if (got := value(row)) is not None), None))

    def _pair(self, node: exp.Expression, left: _Part, right: _Part) -> tuple[_Part, _Part]:
        """Both sides of a comparison as values that compare; raises UnsupportedError where their kinds differ."""
        if "null" in (left.kind, right.kind) or (left.kind == right.kind and left.kind != "double"):
            return left, right
        if left.kind in _NUMBERS and right.kind in _NUMBERS:
            return (_as_double(left), _as_double(right)) if "double" in (left.kind, right.kind) else (left, right)
        made = _read_as(left, right.kind), _read_as(right, left.kind)
        if made[0].kind != made[1].kind:
            raise UnsupportedError(f"{node.sql(dialect='spark')} compares {left.kind} with {right.kind}")
        return made


def _kind(type_: str) -> str:
    if type_.startswith("DECIMAL"):
        return "decimal"
    return _KINDS[type_]


_KINDS = {
    **dict.fromkeys(("BIGINT", "INT", "SMALLINT"), "whole"),
    **dict.fromkeys(("DOUBLE", "FLOAT"), "double"),
    "STRING": "text",
    "BOOLEAN": "bool",
    "DATE": "date",
    "TIMESTAMP": "instant",
    "BINARY": "bytes",
    "ARRAY<STRING>": "texts",
}


def _constant(kind: str, value: Any) -> _Part:
    return _Part(kind, lambda _: value, value)


def _literal(node: exp.Literal) -> _Part:
    if node.is_string:
        return _constant("text", node.this)
    if node.this.isdigit():
        return _constant("whole", int(node.this))
    if "e" in node.this.lower():
        return _constant("double", float(node.this))
    return _constant("decimal", Decimal(node.this))


def _cast(node: exp.Cast) -> _Part:
    kind = {exp.DataType.Type.DATE: "date", exp.DataType.Type.TIMESTAMP: "instant", exp.DataType.Type.TIMESTAMPTZ: "instant"}.get(
        node.to.this
    )
    if kind is None or not (isinstance(node.this, exp.Literal) and node.this.is_string):
        raise UnsupportedError(f"{node.sql(dialect='spark')}: only a text literal becomes a DATE or TIMESTAMP")
    made = _read_as(_literal(node.this), kind)
    if made.kind != kind:
        raise UnsupportedError(f"{node.this.this!r} is no {kind}")
    return made


def _read_as(part: _Part, kind: str) -> _Part:
    """A text literal as the day or the instant (UTC) that it names; any other part as it is."""
    if part.kind != "text" or part.literal is None or kind not in ("date", "instant"):
        return part
    text = part.literal.strip()
    if kind == "instant":
        value = reader("TIMESTAMP")(f"{text[:10]}T{text[11:] or '00:00:00'}{'' if text.endswith('Z') else 'Z'}")
    else:
        value = reader("DATE")(text)
    return part if value is None else _constant(kind, value)


def _as_double(part: _Part) -> _Part:
    """A number as what compares as Spark's doubles do: NaN equals itself and is greater than any other."""

    def made(row: Values) -> tuple[bool, float] | None:
        number = part.value(row)
        if number is None:
            return None
        number = float(number)
        return (True, 0.0) if number != number else (False, number)

    return _Part("double", made)


def _compared(left: Callable[[Values], Any], right: Callable[[Values], Any], compare: _Compare) -> Condition:
    def check(row: Values) -> bool | None:
        a, b = left(row), right(row)
        return None if a is None or b is None else compare(a, b)

    return check


def _and(left: Condition, right: Condition) -> Condition:
    def check(row: Values) -> bool | None:
        a = left(row)
        if a is False:
            return False
        b = right(row)
        return False if b is False else None if a is None or b is None else True

    return check


def _or(left: Condition, right: Condition) -> Condition:
    def check(row: Values) -> bool | None:
        a = left(row)
        if a is True:
            return True
        b = right(row)
        return True if b is True else None if a is None or b is None else False

    return check
