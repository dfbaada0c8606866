"""Keys as JSON objects, for `_linked_key`, `_previous_key` and the list of forgotten keys."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from operator import itemgetter
from typing import Any

from lakehouse.contract import Table
from lakehouse.transforms.records import json_text
from lakehouse.transforms.records.values import reader

Key = tuple[Any, ...]
Values = tuple[Any, ...]

# Options with which Spark writes a key as `as_json` does; by default it writes a TIMESTAMP in milliseconds.
SPARK_JSON = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}

_EPOCH_AT = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)


def getter(places: tuple[int, ...] | list[int]) -> Callable[[Values], Values]:
    """A function that returns these positions of a tuple, always as a tuple."""
    if not places:
        return lambda _: ()
    if len(places) == 1:
        place = places[0]
        return lambda values: (values[place],)
    return itemgetter(*places)


def of_values(table: Table) -> Callable[[Values], Key]:
    """A function that returns the key of a row that begins with the declared columns."""
    names = table.column_names
    return getter([names.index(name) for name in table.key])


def as_json(table: Table) -> Callable[[Key], str]:
    """A function that writes a key as JSON in key order; None parts are left out, a TIMESTAMP keeps its microseconds."""
    parts = [(f"{json_text.quoted(name)}:", _writer(table.column(name).type)) for name in table.key]

    def write(key: Key) -> str:
        members = [name + part(value) for (name, part), value in zip(parts, key, strict=True) if value is not None]
        return "{" + ",".join(members) + "}"

    return write


def as_json_sql(table: Table, parts: Iterable[str]) -> str:
    """The Spark SQL expression that writes a key as `as_json` does; `parts` are SQL expressions in key order, of its first columns."""
    named = ", ".join(f"'{name}', {part}" for name, part in zip(table.key, parts, strict=False))
    is_timed = any(table.column(name).type == "TIMESTAMP" for name in table.key)
    quoted = {name: value.replace("'", "\\'") for name, value in SPARK_JSON.items()}
    options = [f"map('{name}', '{value}')" for name, value in quoted.items()] if is_timed else []
    return f"to_json({', '.join([f'named_struct({named})', *options])})"


def from_json(table: Table) -> Callable[[str], Key]:
    """A function that reads a key written by `as_json`."""
    types = [(name, table.column(name).type) for name in table.key]
    # A small decimal is written with an exponent, which `reader` rejects.
    readers = [(name, Decimal if type_.startswith("DECIMAL") else reader(type_)) for name, type_ in types]

    def read(text: str) -> Key:
        parts = json_text.first(text)
        return tuple(part(json_text.text_of(parts[name]) or "") for name, part in readers)

    return read


def _writer(type_: str) -> Callable[[Any], str]:
    if type_ == "TIMESTAMP":
        return lambda us: f'"{(_EPOCH_AT + timedelta(microseconds=us)).isoformat(timespec="microseconds")[:-6]}Z"'
    if type_.startswith("DECIMAL"):
        unit = Decimal(1).scaleb(-int(re.findall(r"\d+", type_)[1]))
        return lambda number: str(number.quantize(unit, context=_EXACT))
    return _WRITERS[type_]


def _double(number: float) -> str:
    return json_text.java_float(repr(number)) if math.isfinite(number) else f'"{_NOT_FINITE.get(number, "NaN")}"'


def _float(number: float) -> str:
    if not math.isfinite(number):
        return _double(number)
    shortest = next(text for text in (f"{number:.{places}e}" for places in range(9)) if _as_float(text) == number)
    return json_text.java_float(shortest)


def _as_float(text: str) -> Any:
    return reader("FLOAT")(text)


_EXACT = Context(prec=100)
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
_WRITERS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("BIGINT", "INT", "SMALLINT"), str),
    "STRING": json_text.quoted,
    "BOOLEAN": lambda is_on: "true" if is_on else "false",
    "DOUBLE": _double,
    "FLOAT": _float,
    "DATE": lambda day: f'"{(_EPOCH_DAY + timedelta(days=day)).isoformat()}"',
    "BINARY": lambda raw: f'"{base64.b64encode(raw).decode()}"',
    "ARRAY<STRING>": lambda texts: json_text.written(list(texts)),
}
