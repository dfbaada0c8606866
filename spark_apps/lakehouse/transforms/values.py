"""Text as Debezium sends it, read as the declared type: the exact value, or NULL where it does not fit.

`try_cast` alone is too kind: it rounds "1.239" to 1.24, takes "t" for true and "1d" for 1.0, and passes the years 0 and 21016,
which no client can hold. Each function here narrows it to what a source may send; whatever else comes is NULL, never an error.
"""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F

# Read JSON as the standard has it: no single quotes, no bare NaN.
JSON_OPTIONS = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}

# Postgres keeps floats that are no numbers, and they are legal DOUBLEs; a DECIMAL has no room for them.
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_FLOAT = r"^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$"
_FIRST_DAY = "0001-01-01"
# How Debezium 3.7 writes the inner arrays of an array of more than one dimension: the names of Java objects, their content lost.
_JAVA_ARRAY = r'"\[+L[A-Za-z.]+;@[0-9a-f]+"'
_TIMESTAMP_LENGTH = (20, 27)  # 2026-11-22T03:18:01Z up to six decimals; a year of five digits, or BC, is longer or shifted


def typed(text: Column, type_: str) -> Column:
    """`text` as a column of the declared type; NULL where it is NULL, inexact or out of range."""
    if type_.startswith("DECIMAL"):
        return _decimal(text, type_)
    return _READERS[type_](text, type_)


def _text(text: Column, _: str) -> Column:
    return text


def _integer(text: Column, type_: str) -> Column:
    number = text.try_cast(type_)
    return F.when(number.cast("string") == text, number)


def _decimal(text: Column, type_: str) -> Column:
    scale = re.findall(r"\d+", type_)[1]
    is_exact = text.rlike(rf"^-?[0-9]+([.][0-9]{{0,{scale}}}0*)?$")
    return F.when(is_exact, text.try_cast(type_))


def _float(text: Column, type_: str) -> Column:
    number = text.try_cast(type_)
    is_finite = text.rlike(_FLOAT) & (F.abs(number) < F.lit(float("inf")).cast(type_))
    return F.when(is_finite | text.isin(*_NOT_FINITE), number)


def _boolean(text: Column, _: str) -> Column:
    return F.when(text == "true", F.lit(True)).when(text == "false", F.lit(False))


def _date(text: Column, _: str) -> Column:
    # isostring writes a date with its zone: 2026-01-01Z.
    day = F.substring(text, 1, 10)
    date = day.try_cast("DATE")
    is_day = (date.cast("string") == day) & (date >= F.lit(_FIRST_DAY).cast("DATE"))
    return F.when(is_day & F.substring(text, 11, 9).isin("", "Z"), date)


def _timestamp(text: Column, type_: str) -> Column:
    instant = text.try_cast(type_)
    is_instant = (F.substring(text, 5, 1) == "-") & (F.substring(text, 11, 1) == "T") & text.endswith("Z")
    is_in_range = F.length(text).between(*_TIMESTAMP_LENGTH) & (instant >= F.lit(f"{_FIRST_DAY}T00:00:00Z").cast(type_))
    return F.when(is_instant & is_in_range, instant)


def _binary(text: Column, _: str) -> Column:
    return F.try_to_binary(text, F.lit("base64"))


def _texts(text: Column, type_: str) -> Column:
    return F.when(text.startswith("[") & ~text.rlike(_JAVA_ARRAY), F.from_json(text, type_, JSON_OPTIONS))


_READERS = {
    "STRING": _text,
    "BIGINT": _integer,
    "INT": _integer,
    "SMALLINT": _integer,
    "DOUBLE": _float,
    "FLOAT": _float,
    "BOOLEAN": _boolean,
    "DATE": _date,
    "TIMESTAMP": _timestamp,
    "BINARY": _binary,
    "ARRAY<STRING>": _texts,
}
