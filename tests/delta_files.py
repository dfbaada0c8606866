"""Writes minimal Delta tables, plain Parquet and a JSON log, for tests without Spark, independently of the product's code."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_NAMES = {pa.int64(): "long", pa.int32(): "integer", pa.int16(): "short", pa.string(): "string", pa.date32(): "date", pa.bool_(): "boolean"}
_NAMES |= {pa.float64(): "double", pa.binary(): "binary"}


def create(folder: Path, rows: pa.Table, partitions: Sequence[str]) -> None:
    """Create the table at `folder` with these rows as version 0."""
    protocol = {"minReaderVersion": 1, "minWriterVersion": 2}
    fields = [{"name": field.name, "type": _type(field.type), "nullable": True, "metadata": {}} for field in rows.schema]
    about: dict[str, Any] = {"id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}}, "configuration": {}}
    about |= {"schemaString": json.dumps({"type": "struct", "fields": fields}), "partitionColumns": list(partitions), "createdTime": 0}
    _commit(folder, 0, [{"protocol": protocol}, {"metaData": about}, *_written(folder, rows, partitions)], "CREATE TABLE AS SELECT")


def append(folder: Path, rows: pa.Table, partitions: Sequence[str]) -> int:
    """Append rows in one commit; returns its version."""
    version = _next(folder)
    _commit(folder, version, _written(folder, rows, partitions), "STREAMING UPDATE")
    return version


def replace(folder: Path, rows: pa.Table, partitions: Sequence[str], operation: str = "WRITE", is_change: bool = True) -> int:
    """Replace all rows in one commit; `is_change=False` if the rows are the same. Returns its version."""
    version = _next(folder)
    removed = [{"remove": {"path": path, "deletionTimestamp": 0, "dataChange": is_change}} for path in _live(folder)]
    added = _written(folder, rows, partitions)
    for action in added:
        action["add"]["dataChange"] = is_change
    _commit(folder, version, [*removed, *added], operation)
    return version


def _next(folder: Path) -> int:
    return len(list((folder / "_delta_log").glob("*.json")))


def _live(folder: Path) -> list[str]:
    found: dict[str, None] = {}
    for path in sorted((folder / "_delta_log").glob("*.json")):
        for action in map(json.loads, path.read_text().splitlines()):
            if "remove" in action:
                del found[action["remove"]["path"]]
            elif "add" in action:
                found[action["add"]["path"]] = None
    return list(found)


def _written(folder: Path, rows: pa.Table, partitions: Sequence[str]) -> list[dict[str, Any]]:
    """Write a file per partition; returns their `add` actions."""
    actions = []
    for values in rows.select(partitions).group_by(list(partitions)).aggregate([]).to_pylist():
        part = rows
        for name, value in values.items():
            column = part[name]
            part = part.filter(pc.is_null(column) if value is None else pc.equal(column, pa.scalar(value, column.type)))
        within = {name: _text(value) for name, value in values.items()}
        place = "/".join(f"{name}={quote(text or '__HIVE_DEFAULT_PARTITION__')}" for name, text in within.items())
        path = f"{place}/part-{uuid.uuid4()}.parquet"
        (folder / place).mkdir(parents=True, exist_ok=True)
        kept = part.drop_columns(list(partitions))
        pq.write_table(kept, folder / path, coerce_timestamps="us")
        add = {"path": quote(path), "partitionValues": within, "size": (folder / path).stat().st_size, "modificationTime": 0}
        actions.append({"add": add | {"dataChange": True, "stats": json.dumps(_statistics(kept))}})
    return actions


def _statistics(rows: pa.Table) -> dict[str, Any]:
    bounds: dict[str, dict[str, Any]] = {"minValues": {}, "maxValues": {}}
    for name in rows.schema.names:
        if pa.types.is_timestamp(rows[name].type) and rows[name].null_count < len(rows):
            found = pc.min_max(rows[name]).as_py()
            for bound in ("min", "max"):
                at = found[bound] if bound == "min" else found[bound] + timedelta(milliseconds=1)  # truncated to milliseconds, as in Delta
                bounds[f"{bound}Values"][name] = at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {"numRecords": len(rows), **bounds, "nullCount": {name: rows[name].null_count for name in rows.schema.names}}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(kind: pa.DataType) -> Any:
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return {"type": "array", "elementType": "string", "containsNull": True} if pa.types.is_list(kind) else _NAMES[kind]


def _commit(folder: Path, version: int, actions: list[dict[str, Any]], operation: str) -> None:
    (folder / "_delta_log").mkdir(parents=True, exist_ok=True)
    info = {"timestamp": 0, "operation": operation, "operationParameters": {}, "isBlindAppend": operation.startswith("STREAM")}
    path = folder / "_delta_log" / f"{version:020d}.json"
    with path.open("x") as out:
        out.write("".join(f"{json.dumps(action)}\n" for action in [{"commitInfo": info}, *actions]))
