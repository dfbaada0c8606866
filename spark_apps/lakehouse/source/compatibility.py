"""Postgres types that a declared column can hold without loss."""

from __future__ import annotations

import re

from lakehouse.source import types
from lakehouse.source.catalog import ColumnType

_NUMBERS = {"int2": "SMALLINT", "int4": "INT", "int8": "BIGINT", "float4": "FLOAT", "float8": "DOUBLE"}
# Narrower and wider.
LONGER_TEXT = ("varchar", "text")
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_MOST_DIGITS = 38
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_DIGITS = {"int2": 5, "int4": 10, "int8": 19}


def is_compatible(declared: str, found: ColumnType) -> bool:
    """Whether every value of the source's type fits the declared Spark type.

    A numeric without precision is compatible with any decimal; values that do not fit are quarantined.
    """
    decimal = _DECIMAL.fullmatch(declared)
    if decimal:
        return _fits_decimal(int(decimal[1]), int(decimal[2]), found)
    return declared in types.kind(described(found), found.is_enum).declared


def spark_type(text: str) -> str | None:
    """The Spark type equivalent to a numeric type in the notation of `described`; None for other types."""
    numeric = _NUMERIC.fullmatch(text)
    if numeric and int(numeric[2]) <= int(numeric[1]) <= _MOST_DIGITS:
        return f"DECIMAL({numeric[1]},{numeric[2]})"
    return _NUMBERS.get(text)


def holds(declared: str, text: str) -> bool:
    """`is_compatible` for a numeric type in the notation of `described`."""
    numeric = _NUMERIC.fullmatch(text)
    if numeric:
        return is_compatible(declared, ColumnType(name="numeric", precision=int(numeric[1]), scale=int(numeric[2])))
    return is_compatible(declared, ColumnType(name=text))


def described(found: ColumnType) -> str:
    """The type in SQL notation. A domain over a scalar becomes that scalar; a domain over an array is marked as such."""
    if found.name == "numeric" and found.precision is not None:
        return f"numeric({found.precision},{found.scale})"
    if found.name == "char":
        return '"char"'
    if not found.is_array:
        return found.name
    element = '"char"' if found.name == "_char" else found.name.removeprefix("_")
    return f"{types.DOMAIN_OVER if found.is_domain else ''}{element}[]"


def _fits_decimal(precision: int, scale: int, found: ColumnType) -> bool:
    if found.name in _DIGITS:
        return precision - scale >= _DIGITS[found.name]
    if found.name != "numeric":
        return False
    if found.precision is None or found.scale is None:
        return True
    return found.scale <= scale and found.precision - found.scale <= precision - scale
