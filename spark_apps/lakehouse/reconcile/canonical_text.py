"""Canonical text of a value in Postgres and in silver: texts are equal if and only if the values are.

Each function returns an SQL expression for Postgres (`source_*`) or Spark (`silver_*`). A floating-point number is rendered from its
bits, in Java's hexadecimal notation; an instant as microseconds since 1970; texts and arrays as Postgres prints them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lakehouse.contract import Column, Table

WHOLE_NUMBERS = ("BIGINT", "INT", "SMALLINT")
# Capture writes these in a form that Postgres cannot print.
NOT_COMPARED = frozenset({"interval"})
_FLOATS = ("DOUBLE", "FLOAT")


def compared(table: Table, source_types: Mapping[str, str]) -> list[Column]:
    """The declared columns that the source still has, in a form that can be compared."""
    return [column for column in table.columns if source_types.get(column.name, "interval") not in NOT_COMPARED]


def source_text(column: Column) -> str:
    """The value as text in Postgres; NULL for NULL."""
    name = f'"{column.name}"'
    if column.type.startswith("DECIMAL"):
        scale = _scale(column.type)
        # Rounded only if that loses nothing: values that do not fit must differ.
        return f"CASE WHEN round({name}::numeric, {scale}) = {name} THEN round({name}::numeric, {scale})::text ELSE {name}::text END"
    if column.type in _FLOATS:
        return _source_float(name)
    if column.type == "TIMESTAMP":
        return f"CASE WHEN isfinite({name}) THEN (extract(epoch FROM {name}) * 1000000)::bigint::text ELSE {name}::text END"
    if column.type == "BINARY":
        return f"encode({name}, 'hex')"
    if column.type == "STRING":
        # concat prints the value as capture receives it; a cast would strip the trailing blanks of a char(n).
        return f"CASE WHEN {name} IS NOT NULL THEN concat({name}) END"
    return f"{name}::text"


def silver_text(column: Column, source_type: str) -> str:
    """The same in Spark; `source_type` is the column's type in Postgres."""
    name = f"`{column.name}`"
    if column.type in _FLOATS:
        # A float4 arrives as its shortest text: parsed as DOUBLE it differs from the original number, parsed as FLOAT it is equal.
        narrow = f"CAST({name} AS FLOAT)" if source_type == "float4" else name
        return f"CASE WHEN {name} IS NOT NULL THEN format_string('%a', CAST({narrow} AS DOUBLE)) END"
    if column.type == "TIMESTAMP":
        return f"CAST(unix_micros({name}) AS STRING)"
    if column.type == "BINARY":
        return f"lower(hex({name}))"
    if column.type == "ARRAY<STRING>":
        return _silver_array(name)
    return f"CAST({name} AS STRING)"


def source_digest(columns: Sequence[Column]) -> str:
    """64-bit digest of a row in Postgres, from its texts; distinguishes NULL, the empty text and column boundaries."""
    cells = " || ".join(_cell(source_text(column), column, "text") for column in columns)
    return f"('x' || left(md5(convert_to({cells}, 'UTF8')), 16))::bit(64)::bigint"


def silver_digest(columns: Sequence[Column], source_types: Mapping[str, str]) -> str:
    """The same in Spark."""
    cells = " || ".join(_cell(silver_text(column, source_types[column.name]), column, "STRING") for column in columns)
    return f"CAST(conv(left(md5({cells}), 16), 16, -10) AS BIGINT)"


def source_place(table: Table) -> str:
    """The whole number that divides a table's rows into ranges: the key's first column, or a digest of the key."""
    first = table.column(table.key[0])
    return f'"{first.name}"::bigint' if first.type in WHOLE_NUMBERS else source_digest([table.column(name) for name in table.key])


def silver_place(table: Table, source_types: Mapping[str, str]) -> str:
    """The same in Spark."""
    first = table.column(table.key[0])
    if first.type in WHOLE_NUMBERS:
        return f"CAST(`{first.name}` AS BIGINT)"
    return silver_digest([table.column(name) for name in table.key], source_types)


def _cell(text: str, column: Column, text_type: str) -> str:
    """A column's part of the row's text; only a STRING can contain the separator, so it is prefixed with its length instead."""
    if column.type != "STRING":
        return f"coalesce(({text}) || ';', 'N;')"
    return f"coalesce(CAST(length({text}) AS {text_type}) || ':' || ({text}), 'N;')"


def _source_float(name: str) -> str:
    """A double in the form of Java's `%a`, from Postgres' binary form: sign, exponent and mantissa."""
    bits = f"encode(float8send({name}::float8), 'hex')"
    exponent = f"(('x' || left({bits}, 3))::bit(12)::int & 2047)"
    mantissa = f"coalesce(nullif(rtrim(right({bits}, 13), '0'), ''), '0')"
    subnormal = f"CASE WHEN {name} = 0 THEN '0x0.0p0' ELSE '0x0.' || {mantissa} || 'p-1022' END"
    finite = f"CASE {exponent} WHEN 0 THEN {subnormal} ELSE '0x1.' || {mantissa} || 'p' || ({exponent} - 1023) END"
    sign = f"CASE WHEN {bits} >= '8' THEN '-' ELSE '' END"
    is_finite = f"{name} NOT IN ('NaN', 'Infinity', '-Infinity')"
    return f"CASE WHEN {is_finite} THEN {sign} || {finite} ELSE {name}::text END"


def _silver_array(name: str) -> str:
    """An array as Postgres prints it: an element is quoted if it is empty, the text NULL, or contains a special character."""
    needs_quotes = r"""e RLIKE '^$|^(?i:null)$|[\\\\"{},\\s]'"""
    escaped = r"""replace(replace(e, '\\', '\\\\'), '"', '\\"')"""
    element = f"CASE WHEN e IS NULL THEN 'NULL' WHEN {needs_quotes} THEN '\"' || {escaped} || '\"' ELSE e END"
    return f"CASE WHEN {name} IS NOT NULL THEN '{{' || concat_ws(',', transform({name}, e -> {element})) || '}}' END"


def _scale(type_: str) -> str:
    return re.findall(r"\d+", type_)[1]
