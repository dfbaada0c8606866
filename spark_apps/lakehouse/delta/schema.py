"""Schema JSON of a Delta table, and each type in Spark's DDL, in Arrow and in DuckDB."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from lakehouse.errors import EbapError

_DDL = {
    "byte": "TINYINT",
    "short": "SMALLINT",
    "integer": "INT",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "string": "STRING",
    "binary": "BINARY",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
_ARROW = {
    "byte": pa.int8(),
    "short": pa.int16(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
# Where DuckDB's name is not Spark's.
_DUCKDB = {"STRING": "VARCHAR", "BINARY": "BLOB", "TIMESTAMP": "TIMESTAMPTZ"}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(-?\d+)\)")


@dataclass(frozen=True, kw_only=True)
class Field:
    """A column. `json_type` is the type in Delta's JSON: a name, or an object for a nested type."""

    name: str
    json_type: Any
    is_nullable: bool
    metadata: dict[str, Any]

    @cached_property
    def type(self) -> str:
        """The type as Spark DDL writes it, such as BIGINT, DECIMAL(10,2) or ARRAY<STRING>."""
        return _ddl(self.json_type)

    @cached_property
    def arrow_type(self) -> pa.DataType:
        """The type of the column in Arrow tables that are read and written."""
        return _arrow(self.json_type)

    @cached_property
    def duckdb_type(self) -> str:
        """The type of the column in DuckDB."""
        return _duckdb(self.json_type)


def fields_of(schema_json: str) -> tuple[Field, ...]:
    """The columns of Delta's `schemaString`. Raises EbapError for a type that is not known."""
    listed = json.loads(schema_json)["fields"]
    fields = tuple(
        Field(name=each["name"], json_type=each["type"], is_nullable=each["nullable"], metadata=each.get("metadata") or {})
        for each in listed
    )
    for field in fields:
        _ = field.type  # raise here for an unsupported type, not at its first use
    return fields


def _ddl(found: Any) -> str:
    if isinstance(found, str):
        if found in _DDL:
            return _DDL[found]
        if decimal := _DECIMAL.fullmatch(found):
            return f"DECIMAL({decimal[1]},{decimal[2]})"
    elif found["type"] == "array":
        return f"ARRAY<{_ddl(found['elementType'])}>"
    elif found["type"] == "struct":
        inner = ", ".join(each["name"] + ": " + _ddl(each["type"]) for each in found["fields"])
        return f"STRUCT<{inner}>"
    raise EbapError(f"type {found} is not supported")


def _arrow(found: Any) -> pa.DataType:
    if isinstance(found, str):
        decimal = _DECIMAL.fullmatch(found)
        return pa.decimal128(int(decimal[1]), int(decimal[2])) if decimal else _ARROW[found]
    if found["type"] == "array":
        return pa.list_(pa.field("element", _arrow(found["elementType"]), nullable=found.get("containsNull", True)))
    return pa.struct([pa.field(each["name"], _arrow(each["type"]), nullable=each["nullable"]) for each in found["fields"]])


def _duckdb(found: Any) -> str:
    if isinstance(found, str):
        name = _ddl(found)
        return _DUCKDB.get(name, name)
    if found["type"] == "array":
        return f"{_duckdb(found['elementType'])}[]"
    inner = ", ".join(quoted(each["name"]) + " " + _duckdb(each["type"]) for each in found["fields"])
    return f"STRUCT({inner})"


def quoted(name: str) -> str:
    """A quoted DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'
