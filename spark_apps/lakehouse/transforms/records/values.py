"""Debezium's text as values of declared types: the exact value, or None where it does not fit.

Texts that a cast would accept but that the source never sends are rejected: "1.239" is not a DECIMAL(10,2), "t" not a BOOLEAN, "1d" not a
DOUBLE. Dates outside the years 1 to 9999, which clients do not support, are rejected too. No text raises an error.
"""

from __future__ import annotations

import binascii
import math
import re
import struct
from collections.abc import Callable
from datetime import date, datetime
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from lakehouse.transforms.records import json_text

Reader = Callable[[str], Any]

# One object for all NaNs: tuples compare elements by identity before equality.
NAN = math.nan
_NOT_FINITE = {"NaN": NAN, "Infinity": math.inf, "-Infinity": -math.inf}
_FLOAT = re.compile(r"-?[0-9]+(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?").fullmatch
_WHOLE = re.compile(r"-?[1-9][0-9]*|0").fullmatch
_WHOLE_IN_SPACE = re.compile(r"[\x00-\x20\x7f]*([-+]?[0-9]+)[\x00-\x20\x7f]*").fullmatch
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}Z?").fullmatch
_LONGEST_WHOLE = 20  # -9223372036854775808
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY_US, _HOUR_US, _MINUTE_US, _SECOND_US = 86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000
_SECONDS_LENGTH, _LONGEST = 20, 27  # 2026-11-22T03:18:01Z, and with six decimals
_PACKED, _BITS = struct.Struct("<f"), struct.Struct("<i")
_EXACT = Context(prec=100)


def reader(type_: str) -> Reader:
    """The function that reads a text as a value of a declared type."""
    if type_.startswith("DECIMAL"):
        precision, scale = map(int, re.findall(r"\d+", type_))
        return _decimal(precision, scale)
    return _READERS[type_]


def _integer(bits: int) -> Reader:
    least, greatest = -(1 << bits - 1), (1 << bits - 1) - 1

    def read(text: str) -> int | None:
        if len(text) > _LONGEST_WHOLE or not _WHOLE(text):
            return None
        number = int(text)
        return number if least <= number <= greatest else None

    return read


def _decimal(precision: int, scale: int) -> Reader:
    is_exact = re.compile(rf"-?[0-9]+(?:[.][0-9]{{0,{scale}}}(0*))?").fullmatch
    limit, unit = Decimal(10) ** (precision - scale), Decimal(1).scaleb(-scale)

    def read(text: str) -> Decimal | None:
        found = is_exact(text)
        if not found:
            return None
        number = Decimal(text)
        if found[1]:
            number = number.quantize(unit, context=_EXACT)
        return number if -limit < number < limit else None

    return read


def _double(text: str) -> float | None:
    if not _FLOAT(text):
        return _NOT_FINITE.get(text)
    number = float(text)
    return number if -math.inf < number < math.inf else None


def _float(text: str) -> float | None:
    """The nearest 32-bit float, rounded once: rounding through a double could round twice."""
    number = _double(text)
    if number is None or not math.isfinite(number):
        return number
    try:
        near = float(_PACKED.unpack(_PACKED.pack(number))[0])
    except OverflowError:
        return None
    if near == number:
        return near
    bits = _BITS.unpack(_PACKED.pack(near))[0]
    beyond = float(_PACKED.unpack(_BITS.pack(bits + (1 if (number > near) == (near >= 0) else -1)))[0]) if near else near
    if near + beyond == 2 * number and (exact := Fraction(text)) != number:
        return max(near, beyond) if exact > number else min(near, beyond)
    return near


def _boolean(text: str) -> bool | None:
    return True if text == "true" else False if text == "false" else None


def _date(text: str) -> int | None:
    # Debezium's isostring writes a date with its zone: 2026-01-01Z.
    if not _DAY(text):
        return None
    try:
        return date(int(text[:4]), int(text[5:7]), int(text[8:10])).toordinal() - _EPOCH_DAY
    except ValueError:
        return None


def _timestamp(text: str) -> int | None:
    """2026-11-22T03:18:01Z, with up to six decimals, of the years 1 to 9999."""
    size = len(text)
    is_formed = text[4:5] == "-" == text[7:8] and text[10:11] == "T" and text[13:14] == ":" == text[16:17] and text[-1:] == "Z"
    if not is_formed or size > _LONGEST or (size != _SECONDS_LENGTH and (size <= _SECONDS_LENGTH + 1 or text[19] != ".")):
        return None
    if size == _SECONDS_LENGTH:
        decimals = "0"
    else:
        decimals = text[20:-1]
        if not (decimals.isascii() and decimals.isdigit()):
            return None
    if text[11:13] == "24":
        return None
    try:
        at = datetime.fromisoformat(text[:19])
    except ValueError:
        return None
    seconds_us = at.hour * _HOUR_US + at.minute * _MINUTE_US + at.second * _SECOND_US
    return (at.toordinal() - _EPOCH_DAY) * _DAY_US + seconds_us + int(decimals.ljust(6, "0"))


def _binary(text: str) -> bytes | None:
    try:
        # Padding is optional, as in Spark.
        return binascii.a2b_base64(text if "=" in text else text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        return None


# Debezium 3.7 writes the inner arrays of a multidimensional array as names of Java objects; the content is lost.
_JAVA_ARRAY = re.compile(r'"\[+L[A-Za-z.]+;@[0-9a-f]+"')


def _texts(text: str) -> tuple[str | None, ...] | None:
    if not text.startswith("[") or _JAVA_ARRAY.search(text):
        return None
    try:
        return tuple(map(json_text.text_of, json_text.first(text)))
    except ValueError:
        return None


def whole(text: str | None) -> int | None:
    """A text as a 64-bit integer, surrounding white space ignored; None if it is not one."""
    if text is None or len(text) > 2 * _LONGEST_WHOLE:
        return None
    found = _WHOLE_IN_SPACE(text)
    number = int(found[1]) if found else None
    return number if number is not None and -(1 << 63) <= number < 1 << 63 else None


_READERS: dict[str, Reader] = {
    "STRING": str,
    "BIGINT": _integer(64),
    "INT": _integer(32),
    "SMALLINT": _integer(16),
    "DOUBLE": _double,
    "FLOAT": _float,
    "BOOLEAN": _boolean,
    "DATE": _date,
    "TIMESTAMP": _timestamp,
    "BINARY": _binary,
    "ARRAY<STRING>": _texts,
}
