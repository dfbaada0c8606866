"""Checkpoints of a Delta log, and deletion of log files that a checkpoint covers.

Spark writes a checkpoint only with its own commits at multiples of the interval. Small commits come every minute and Spark's are rare, so
this writer writes checkpoints too: classic ones in one file, as Spark does. The log is readable after each step.
"""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.delta.actions import File
from lakehouse.delta.log import Snapshot, TableLog
from lakehouse.delta.replay import LAST_CHECKPOINT, State, commit_versions, complete_checkpoints, load

# Default: a checkpoint of a table of a hundred files costs as much as reading twenty commits.
_INTERVAL = 20
_DAY_MS = 24 * 3600 * 1000
_RETENTION = "interval 1 week"  # of removed files
_LOG_RETENTION = "interval 30 days"
_UNITS_MS = {"week": 7 * _DAY_MS, "day": _DAY_MS, "hour": 3600_000, "minute": 60_000, "second": 1000, "millisecond": 1}
_PART = re.compile(r"(\d+)\s+([a-z]+?)s?\b")
_VERSIONED = re.compile(r"(\d{20})\.(?:json|crc|checkpoint\..*|\d{20}\.compacted\.json)")

_MAP = pa.map_(pa.string(), pa.string())
_VECTOR = pa.struct(
    [
        ("storageType", pa.string()),
        ("pathOrInlineDv", pa.string()),
        ("offset", pa.int32()),
        ("sizeInBytes", pa.int32()),
        ("cardinality", pa.int64()),
    ]
)
_FILE = [("path", pa.string()), ("partitionValues", _MAP), ("size", pa.int64()), ("dataChange", pa.bool_()), ("deletionVector", _VECTOR)]
_FORMAT = pa.struct([("provider", pa.string()), ("options", _MAP)])
_STRINGS = pa.list_(pa.field("element", pa.string()))
_SCHEMA = pa.schema(
    {
        "txn": pa.struct([("appId", pa.string()), ("version", pa.int64()), ("lastUpdated", pa.int64())]),
        "add": pa.struct([*_FILE, ("modificationTime", pa.int64()), ("tags", _MAP), ("stats", pa.string())]),
        "remove": pa.struct([*_FILE, ("deletionTimestamp", pa.int64()), ("extendedFileMetadata", pa.bool_())]),
        "metaData": pa.struct(
            [
                ("id", pa.string()),
                ("name", pa.string()),
                ("description", pa.string()),
                ("format", _FORMAT),
                ("schemaString", pa.string()),
                ("partitionColumns", _STRINGS),
                ("configuration", _MAP),
                ("createdTime", pa.int64()),
            ]
        ),
        "protocol": pa.struct(
            [
                ("minReaderVersion", pa.int32()),
                ("minWriterVersion", pa.int32()),
                ("readerFeatures", _STRINGS),
                ("writerFeatures", _STRINGS),
            ]
        ),
        "domainMetadata": pa.struct([("domain", pa.string()), ("configuration", pa.string()), ("removed", pa.bool_())]),
    }
)


def after_commit(log: TableLog, version: int) -> None:
    """Write a checkpoint if one is due, and delete log files that are old enough and covered by one.

    The commit is not affected: a failure is logged, and the next commit tries again.
    """
    try:
        snapshot = log.snapshot()
        last = _last(log)
        if _is_left_to_spark(snapshot) or version - max(last, 0) < _interval(snapshot):
            return
        write(log, version)
        remove_expired(log)
    except Exception:
        logging.getLogger(__name__).exception("%s: no checkpoint of version %d was written; the next commit tries again", log.root, version)


def write(log: TableLog, version: int) -> None:
    """Write the checkpoint of a version, unless it exists. Raises VersionGoneError if the log cannot be read as of it."""
    state = load(log.store, log.log, version, keeps_removed=True)
    rows = list(_rows(state))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="snappy", store_schema=False)
    data = sink.getvalue()
    try:
        # Never overwrite a checkpoint: Spark's has a checksum beside it.
        log.store.put_new(f"{log.log}/{version:020d}.checkpoint.parquet", data)
    except FileExistsError:
        return
    if _last(log) < version:
        hint = {"version": version, "size": len(rows), "sizeInBytes": len(data), "numOfAddFiles": len(state.files)}
        log.store.put(f"{log.log}/{LAST_CHECKPOINT}", json.dumps(hint).encode())


def remove_expired(log: TableLog) -> int:
    """Delete log files beyond the table's retention, as Spark does; the number of deleted files.

    A file is deleted only if a later checkpoint is old enough itself, so that every retained version stays readable.
    """
    configuration = log.snapshot().configuration
    kept_ms = _milliseconds(configuration.get("delta.logRetentionDuration", _LOG_RETENTION))
    if kept_ms is None or configuration.get("delta.enableExpiredLogCleanup", "true") == "false":
        return 0
    now = time.time_ns() // 1_000_000
    cut_off = (now - kept_ms) // _DAY_MS * _DAY_MS
    names = log.store.list(log.log)
    last_expired = -1
    for version in commit_versions(names):
        found = log.store.stat(log.commit_path(version))
        if found is None or found.modified_ms > cut_off:
            break
        last_expired = version
    covering = max((each.version for each in complete_checkpoints(names) if each.version <= last_expired), default=0)
    expired = [name for name in names if (match := _VERSIONED.fullmatch(name)) and int(match[1]) < covering]
    for name in [*expired, *_abandoned(log, names, now - _DAY_MS)]:
        log.store.delete(f"{log.log}/{name}")
    return len(expired)


def _abandoned(log: TableLog, names: list[str], before_ms: int) -> list[str]:
    """Temporary files of writers that died."""
    temporary = [name for name in names if name.startswith(".") and name.endswith(".tmp")]
    stats = {name: log.store.stat(f"{log.log}/{name}") for name in temporary}
    return [name for name, found in stats.items() if found and found.modified_ms < before_ms]


def _rows(state: State) -> Iterator[dict[str, Any]]:
    """One row per action; a removed file is kept as long as readers of older versions may need it."""
    assert state.protocol and state.metadata
    yield {"protocol": state.protocol.raw}
    yield {"metaData": {**state.metadata.raw, "configuration": list(state.metadata.configuration.items()), "format": _format(state)}}
    for writer, version in state.txns.items():
        yield {"txn": {"appId": writer, "version": version, "lastUpdated": state.txns_updated.get(writer)}}
    for domain in state.domains.values():
        yield {"domainMetadata": domain}
    for file in state.files.values():
        yield {"add": {**_without_change(file.added()), "tags": list(file.tags.items()) if file.tags else None}}
    kept_ms = _milliseconds(state.metadata.configuration.get("delta.deletedFileRetentionDuration", _RETENTION))
    before = 0 if kept_ms is None else time.time_ns() // 1_000_000 - kept_ms
    for file in state.removed.values():
        if file.modified_ms > before:
            yield {"remove": _without_change(_tombstone(file))}


def _tombstone(file: File) -> dict[str, Any]:
    return {name: value for name, value in file.removed(file.modified_ms).items() if name not in ("stats", "tags")}


def _without_change(action: Mapping[str, Any]) -> dict[str, Any]:
    return {**action, "dataChange": False, "partitionValues": list(action["partitionValues"].items())}


def _format(state: State) -> dict[str, Any]:
    assert state.metadata
    stored = state.metadata.raw.get("format") or {}
    return {"provider": stored.get("provider", "parquet"), "options": list((stored.get("options") or {}).items())}


def _last(log: TableLog) -> int:
    """Version of the newest checkpoint in `_last_checkpoint`; -1 if there is none."""
    try:
        return int(json.loads(log.store.read(f"{log.log}/{LAST_CHECKPOINT}"))["version"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return -1


def _interval(snapshot: Snapshot) -> int:
    return int(snapshot.configuration.get("delta.checkpointInterval", _INTERVAL))


def _is_left_to_spark(snapshot: Snapshot) -> bool:
    """Whether the table requires a form of checkpoint that this writer does not support."""
    wanted = snapshot.configuration
    return (
        "v2Checkpoint" in snapshot.protocol.writer_features
        or wanted.get("delta.checkpoint.writeStatsAsStruct") == "true"
        or wanted.get("delta.checkpoint.writeStatsAsJson") == "false"
    )


def _milliseconds(interval: str) -> int | None:
    """An interval in milliseconds; None if it cannot be parsed, in which case everything is kept."""
    text = interval.lower().removeprefix("interval").strip()
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip() or any(unit not in _UNITS_MS for _, unit in parts):
        return None
    return sum(int(count) * _UNITS_MS[unit] for count, unit in parts)
