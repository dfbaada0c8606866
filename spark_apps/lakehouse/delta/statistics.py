"""Statistics of each written file, by which readers skip it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.delta.pruning import EPOCH
from lakehouse.delta.schema import Field

_INDEXED_COLUMNS = 32
_PREFIX = 32  # characters of a string that are kept
_ASCII_MAX, _UNICODE_MAX = "\x7f", "\U0010ffff"
_COLUMN_LIST = re.compile(r"`((?:[^`]|``)*)`|([^,`\s]+)")
_WITH_BOUNDS = ("TINYINT", "SMALLINT", "INT", "BIGINT", "STRING", "DATE", "TIMESTAMP", "DOUBLE", "FLOAT")


def columns(fields: Mapping[str, Field], partition_columns: tuple[str, ...], configuration: Mapping[str, str]) -> list[Field]:
    """The columns with statistics: the listed ones, or the first 32. Nested ones count, but get no statistics."""
    stored = [field for name, field in fields.items() if name not in partition_columns]
    listed = configuration.get("delta.dataSkippingStatsColumns")
    if listed is not None:
        names = {quoted.replace("``", "`") or plain for quoted, plain in _COLUMN_LIST.findall(listed)}
        return [field for field in stored if field.name in names]
    count = int(configuration.get("delta.dataSkippingNumIndexedCols", _INDEXED_COLUMNS))
    return [field for field in (stored if count < 0 else stored[:count]) if not field.type.startswith("STRUCT")]


def of(rows: pa.Table, kept: list[Field], has_vectors: bool) -> str:
    """The statistics of a file's rows. A bound that cannot be written exactly or rounded outwards is left out."""
    least, greatest, nulls = {}, {}, {}
    for field in kept:
        column = rows[field.name]
        nulls[field.name] = column.null_count
        if column.null_count == rows.num_rows or not field.type.startswith((*_WITH_BOUNDS, "DECIMAL")):
            continue
        low, high = _bounds(field, column)
        if low is not None:
            least[field.name] = low
        if high is not None:
            greatest[field.name] = high
    statistics: dict[str, Any] = {"numRecords": rows.num_rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}
    return _json(statistics | ({"tightBounds": True} if has_vectors else {}))


def widened(stats: Mapping[str, Any], rows: int) -> str:
    """Statistics of a file with rows marked as deleted: the bounds still hold, but may no longer be tight."""
    return _json({**stats, "numRecords": rows, "tightBounds": False})


def _bounds(field: Field, column: pa.ChunkedArray) -> tuple[Any, Any]:
    if pa.types.is_floating(column.type) and not pc.all(pc.is_finite(column)).as_py():
        return None, None  # Spark orders NaN last, and JSON has no NaN
    found = pc.min_max(column)
    if field.type == "TIMESTAMP":
        return _timestamps(found["min"].value, found["max"].value)
    low, high = found["min"].as_py(), found["max"].as_py()
    if field.type == "STRING":
        return low[:_PREFIX], _string_above(high)
    if field.type == "DATE":
        return low.isoformat(), high.isoformat()
    return low, high


def _string_above(value: str) -> str:
    """A short string that is not less than the value in UTF-8 byte order."""
    at = _PREFIX
    while at < len(value) and value[at] == _UNICODE_MAX:
        at += 1
    if at >= len(value):
        return value
    return value[:at] + (_ASCII_MAX if value[at] < _ASCII_MAX else _UNICODE_MAX)


def _timestamps(low_us: int, high_us: int) -> tuple[str | None, str | None]:
    """Both in milliseconds, the maximum rounded up: readers compare them with microseconds."""
    return _timestamp(low_us // 1000), _timestamp(-(-high_us // 1000))


def _timestamp(milliseconds: int) -> str | None:
    try:
        at = EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None  # a year out of Python's range
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: Any) -> str:
    """JSON in which a Decimal keeps all its digits."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{_json(each)}" for name, each in value.items()) + "}"
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value, allow_nan=False)
