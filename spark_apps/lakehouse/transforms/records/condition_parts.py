"""Parts of a condition: types of columns, literals, and comparable values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlglot import exp

from lakehouse.errors import ContractError
from lakehouse.transforms.records.keys import Values
from lakehouse.transforms.records.values import reader

NUMBERS = ("whole", "decimal", "double")


@dataclass(frozen=True)
class Part:
    """A compiled expression: its kind (whole, decimal, double, text, bool, date, instant, bytes, texts or null) and its evaluation.

    `literal` is the value of a literal, else None.
    """

    kind: str
    value: Callable[[Values], Any]
    literal: Any = None


def kind(type_: str) -> str:
    if type_.startswith("DECIMAL"):
        return "decimal"
    return KINDS[type_]


KINDS = {
    **dict.fromkeys(("BIGINT", "INT", "SMALLINT"), "whole"),
    **dict.fromkeys(("DOUBLE", "FLOAT"), "double"),
    "STRING": "text",
    "BOOLEAN": "bool",
    "DATE": "date",
    "TIMESTAMP": "instant",
    "BINARY": "bytes",
    "ARRAY<STRING>": "texts",
}


def constant(kind: str, value: Any) -> Part:
    return Part(kind, lambda _: value, value)


def literal(node: exp.Literal) -> Part:
    if node.is_string:
        return constant("text", node.this)
    if node.this.isdigit():
        return constant("whole", int(node.this))
    if "e" in node.this.lower():
        return constant("double", float(node.this))
    return constant("decimal", Decimal(node.this))


def cast(node: exp.Cast) -> Part:
    kind = {exp.DataType.Type.DATE: "date", exp.DataType.Type.TIMESTAMP: "instant", exp.DataType.Type.TIMESTAMPTZ: "instant"}.get(
        node.to.this
    )
    if kind is None or not (isinstance(node.this, exp.Literal) and node.this.is_string):
        raise ContractError(f"{node.sql(dialect='spark')}: only a text literal can be cast to DATE or TIMESTAMP")
    part = read_as(literal(node.this), kind)
    if part.kind != kind:
        raise ContractError(f"{node.this.this!r} is not a valid {kind}")
    return part


def read_as(part: Part, kind: str) -> Part:
    """A text literal as the date or instant (UTC) it denotes; any other part unchanged."""
    if part.kind != "text" or part.literal is None or kind not in ("date", "instant"):
        return part
    text = part.literal.strip()
    if kind == "instant":
        value = reader("TIMESTAMP")(f"{text[:10]}T{text[11:] or '00:00:00'}{'' if text.endswith('Z') else 'Z'}")
    else:
        value = reader("DATE")(text)
    return part if value is None else constant(kind, value)


def as_double(part: Part) -> Part:
    """A number in a form that compares as Spark's doubles do: NaN equals itself and is greater than any other."""

    def comparable(row: Values) -> tuple[bool, float] | None:
        number = part.value(row)
        if number is None:
            return None
        number = float(number)
        return (True, 0.0) if number != number else (False, number)

    return Part("double", comparable)
