"""Exact conversion of a declared table's rows to Arrow and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import arrow_alone  # noqa: F401  (before the first array)
from lakehouse.contract import KAFKA_HEADERS, Table
from lakehouse.transforms.records.values import NAN

_INSTANT = pa.timestamp("us", tz="UTC")
_TYPES = {
    "STRING": pa.string(),
    "BIGINT": pa.int64(),
    "INT": pa.int32(),
    "SMALLINT": pa.int16(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": _INSTANT,
    "BINARY": pa.binary(),
    "ARRAY<STRING>": pa.list_(pa.string()),
    KAFKA_HEADERS: pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())])),
}


def arrow_type(type_: str) -> pa.DataType:
    """The Arrow type of a declared type."""
    if type_.startswith("DECIMAL"):
        precision, scale = map(int, re.findall(r"\d+", type_))
        return pa.decimal128(precision, scale)
    return _TYPES[type_]


def schema(table: Table) -> pa.Schema:
    """The declared columns, all of them nullable."""
    return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in table.columns])


def rows(given: pa.Table | pa.RecordBatch, table: Table, extra: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """The rows as tuples of the declared columns' values, followed by the values of the columns `extra` as pyarrow returns them.

    Columns are found by name and may have Arrow's large or view types; a declared column that is missing is None in every row.
    """
    names = set(given.schema.names)
    columns = [_values(given.column(c.name), c.type) if c.name in names else [None] * given.num_rows for c in table.columns]
    columns += [given.column(name).to_pylist() for name in extra]
    return list(zip(*columns, strict=True))


def arrow(given: Iterable[Sequence[Any]], table: Table) -> pa.Table:
    """Rows, each beginning with the declared columns' values, as an Arrow table of `schema`."""
    taken = list(given)
    columns = zip(*taken, strict=False) if taken else iter([()] * len(table.columns))
    arrays = [_array(values, column.type) for column, values in zip(table.columns, columns, strict=False)]
    return pa.Table.from_arrays(arrays, schema=schema(table))


def _values(column: pa.ChunkedArray | pa.Array, type_: str) -> list[Any]:
    wanted = arrow_type(type_)
    if column.type != wanted:
        column = pc.cast(column, wanted)
    if type_ == "TIMESTAMP":
        return column.cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]
    if type_ == "DATE":
        return column.cast(pa.int32()).to_pylist()  # type: ignore[no-any-return]
    found: list[Any] = column.to_pylist()
    if type_ == "ARRAY<STRING>":
        return [None if texts is None else tuple(texts) for texts in found]
    if type_ in ("DOUBLE", "FLOAT"):
        return [NAN if number is not None and number != number else number for number in found]
    return found


def _array(values: Sequence[Any], type_: str) -> pa.Array:
    if type_ == "TIMESTAMP":
        return pa.array(values, pa.int64()).cast(_INSTANT)
    if type_ == "DATE":
        return pa.array(values, pa.int32()).cast(pa.date32())
    return pa.array(values, arrow_type(type_))
