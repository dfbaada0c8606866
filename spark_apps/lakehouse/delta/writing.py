"""New data files: rows of the table's types as Parquet that Spark reads, one partition per file."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.delta import features, statistics
from lakehouse.delta.actions import File
from lakehouse.delta.log import Snapshot
from lakehouse.delta.pruning import EPOCH, plain
from lakehouse.delta.schema import Field
from lakehouse.delta.store import Store
from lakehouse.errors import EbapError

Writes = Iterable[tuple[Mapping[str, Any], pa.Table]]
_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
_CODECS = {"snappy": "snappy", "zstd": "zstd", "gzip": "gzip", "uncompressed": "none", "none": "none", "lz4_raw": "lz4"}
# Characters of a path that are not escaped in the log.
_SAFE = "/=+,!$&'()*;@~-._"


def write_files(store: Store, snapshot: Snapshot, writes: Writes) -> list[File]:
    """Write the rows, a file for each pair of a partition and a table that has rows. Raises EbapError where they do not fit.

    A partition is a mapping from each partition column to a value as rows have it. Columns that the rows lack are NULL.
    """
    files = []
    for partition, rows in writes:
        values = _partition(snapshot, partition)
        conformed = conform(snapshot, rows)
        if conformed.num_rows:
            files.append(_write(store, snapshot, values, conformed))
    return files


def conform(snapshot: Snapshot, rows: pa.Table) -> pa.Table:
    """The rows with the table's columns and types, partition columns left out. Raises EbapError with every fault at once."""
    stored = [field for field in snapshot.schema if field.name not in snapshot.partition_columns]
    unknown = [name for name in rows.column_names if name not in snapshot.fields]
    faults = [f"{name} is not a column of the table" for name in unknown]
    columns = []
    for field in stored:
        try:
            column = rows[field.name].cast(field.arrow_type) if field.name in rows.column_names else pa.nulls(len(rows), field.arrow_type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            faults.append(f"{field.name} does not fit {field.type}: {error}")
            continue
        if column.null_count and not field.is_nullable:
            faults.append(f"{field.name} is NULL in {column.null_count} rows")
        columns.append(column)
    if faults:
        raise EbapError(f"rows for {snapshot.root} do not fit: {'; '.join(faults)}")
    return pa.Table.from_arrays(columns, schema=pa.schema([(field.name, field.arrow_type) for field in stored]))


def _partition(snapshot: Snapshot, given: Mapping[str, Any]) -> dict[str, str | None]:
    if set(given) != set(snapshot.partition_columns):
        raise EbapError(f"{snapshot.root} is partitioned by {snapshot.partition_columns}, but the rows are for {tuple(given)}")
    return {name: partition_text(snapshot.fields[name], given[name]) for name in snapshot.partition_columns}


def partition_text(field: Field, value: Any) -> str | None:
    """The serialized form of a partition value. An empty string is NULL, as in Delta. Raises EbapError for a value of another type."""
    if value is None or value == "":
        return None
    if field.type == "BOOLEAN" and isinstance(value, bool):
        return "true" if value else "false"
    if field.type in ("TINYINT", "SMALLINT", "INT", "BIGINT") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if field.type == "STRING" and isinstance(value, str):
        return value
    if field.type == "DATE" and isinstance(value, date | int) and not isinstance(value, bool):
        return (EPOCH.date() + timedelta(days=plain(value))).isoformat()
    if field.type == "TIMESTAMP" and isinstance(value, datetime | int) and not isinstance(value, bool):
        return (EPOCH + timedelta(microseconds=plain(value))).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if field.type.startswith("DECIMAL") and isinstance(value, Decimal):
        return f"{value:f}"
    raise EbapError(f"{value!r} is not a value of the partition column {field.name} ({field.type})")


def _write(store: Store, snapshot: Snapshot, partition: Mapping[str, str | None], rows: pa.Table) -> File:
    codec = snapshot.configuration.get("delta.parquet.compression.codec", "snappy").lower()
    if codec not in _CODECS:
        raise EbapError(f"{snapshot.root} is to be compressed by {codec}: one of {', '.join(_CODECS)} is needed")
    data = parquet(rows, _CODECS[codec])
    folders = [f"{_escaped(name)}={_NULL_FOLDER if value is None else _escaped(value)}" for name, value in partition.items()]
    path = "/".join([*folders, f"part-00000-{uuid.uuid4()}.c000.{codec}.parquet"])
    store.put_unique(f"{snapshot.root}/{path}", data)
    kept = statistics.columns(snapshot.fields, snapshot.partition_columns, snapshot.configuration)
    return File(
        path=path,
        raw=quote(path, safe=_SAFE),
        partition=partition,
        size=len(data),
        modified_ms=time.time_ns() // 1_000_000,
        is_data_change=True,
        stats=statistics.of(rows, kept, features.has_deletion_vectors(snapshot.protocol, snapshot.metadata)),
        vector=None,
    )


def parquet(rows: pa.Table, codec: str) -> bytes:
    """The rows as a Parquet file; timestamps are microseconds, never INT96."""
    sink = io.BytesIO()
    # Spark looks up 0.0 in a column's dictionary, does not find it where only -0.0 is, and skips matching rows: no dictionary for floats.
    has_fractions = any(pa.types.is_floating(field.type) for field in rows.schema)
    plain_names = [field.name for field in rows.schema if not pa.types.is_floating(field.type) and not pa.types.is_nested(field.type)]
    dictionary = plain_names if has_fractions else True
    pq.write_table(
        rows,
        sink,
        compression=codec,
        coerce_timestamps="us",
        store_schema=False,
        store_decimal_as_integer=True,
        use_dictionary=dictionary,
    )
    return sink.getvalue()


def _escaped(text: str) -> str:
    """A part of a folder name, with characters escaped that a file system, Hadoop's globs or a URI would interpret."""
    return quote(text, safe=" +,!$&()@~-._")
