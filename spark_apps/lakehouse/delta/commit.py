"""One atomic commit: new rows, rows marked as deleted, removed files, and a transaction of the writer.

New files are on stable storage before the commit that references them; if the process dies in between, VACUUM deletes them. The commit file
is created exclusively, so that only one of two concurrent writers succeeds.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pyroaring import BitMap64

from lakehouse.delta import checkpoint, features, statistics, vectors
from lakehouse.delta.actions import File
from lakehouse.delta.conflicts import Intent, check, check_txn
from lakehouse.delta.log import Snapshot, TableLog
from lakehouse.delta.pruning import Filter
from lakehouse.delta.writing import Writes, write_files
from lakehouse.errors import ConflictError, EbapError

_TRIES = 20
_ENGINE = "EBAP"


def commit(
    log: TableLog,
    snapshot: Snapshot,
    *,
    operation: str,
    writes: Writes = (),
    deletes: Mapping[str, Iterable[int]] | Mapping[File, Iterable[int]] | None = None,
    removes: Iterable[str | File] = (),
    txn: tuple[str, int] | None = None,
    metadata: Mapping[str, Any] | None = None,
    reads: Filter | None = None,
    is_blind: bool = False,
    keeps_txn: bool = False,
) -> int:
    """Make one commit based on `snapshot` and return its version; the snapshot's own version if nothing would change.

    `writes` are pairs of a partition and rows; `deletes` are positions of rows by file, `removes` whole files (by path in the table, as
    `located` returns them). `txn` is the writer's name and an increasing number. `reads` is the filter of the rows the commit depends on
    (None: the whole table): concurrent changes outside of it do not conflict. `is_blind`: nothing was read. If no row changes, there is no
    commit, unless `keeps_txn` requests one for the transaction alone.

    Raises ConflictError (read again and retry), AlreadyAppliedError for a `txn` that the log has, EbapError for rows that do not fit the
    table and for unsupported features.
    """
    features.check_writable(log.root, snapshot.protocol, snapshot.metadata)
    marked = {_file(snapshot, each).path: rows for each, positions in (deletes or {}).items() if (rows := BitMap64(positions))}
    removed = {_file(snapshot, each).path for each in removes}
    _refuse(log, snapshot, marked, removed, is_blind)
    intent = Intent(touched={*marked, *removed}, reads=reads, is_blind=is_blind, txn=txn)
    check_txn(log.root, intent, snapshot.txns)
    newest = log.snapshot()
    check(snapshot, intent, newest, log.commits(snapshot.version + 1, newest.version))
    adds = write_files(log.store, snapshot, writes)
    if not (adds or marked or removed or (txn and keeps_txn)):
        return snapshot.version
    info = _info(snapshot, operation, metadata, is_blind, _metrics(adds, marked, removed))
    actions = [{"commitInfo": info}, *_txn_actions(txn), *_file_actions(log, snapshot, adds, marked, removed)]
    version = _put(log, snapshot, intent, actions)
    checkpoint.after_commit(log, version)
    return version


def set_properties(log: TableLog, snapshot: Snapshot, properties: Mapping[str, str]) -> int:
    """Add these properties to the table's and return the commit's version.

    Raises ConflictError if its columns or properties were changed since the snapshot; concurrently written rows do not conflict.
    """
    features.check_writable(log.root, snapshot.protocol, snapshot.metadata)
    intent = Intent(touched=(), reads=None, is_blind=True, txn=None)
    metadata = {**snapshot.metadata.raw, "configuration": {**snapshot.configuration, **properties}}
    info = _info(snapshot, "SET TBLPROPERTIES", None, False, {})
    return _put(log, snapshot, intent, [{"commitInfo": info}, {"metaData": metadata}])


def _file(snapshot: Snapshot, given: str | File) -> File:
    path = given if isinstance(given, str) else given.path
    found = snapshot.by_path.get(path)
    if found is None:
        raise EbapError(f"{snapshot.root} has no file {path} at version {snapshot.version}")
    return found


def _refuse(log: TableLog, snapshot: Snapshot, marked: Mapping[str, BitMap64], removed: set[str], is_blind: bool) -> None:
    both = removed & set(marked)
    if both:
        raise EbapError(f"{sorted(both)[0]} is both to be removed and to have rows deleted", "pass only one of them")
    if marked and not features.has_deletion_vectors(snapshot.protocol, snapshot.metadata):
        raise EbapError(f"{log.root} has no deletion vectors enabled: its rows cannot be marked as deleted")
    if (marked or removed) and snapshot.configuration.get("delta.appendOnly") == "true":
        raise EbapError(f"{log.root} is append-only (delta.appendOnly): its rows cannot be deleted")
    if (marked or removed) and is_blind:
        raise EbapError("a commit that deletes rows or files cannot be blind")


def _txn_actions(txn: tuple[str, int] | None) -> list[dict[str, Any]]:
    return [{"txn": {"appId": txn[0], "version": txn[1], "lastUpdated": _now_ms()}}] if txn else []


def _file_actions(
    log: TableLog, snapshot: Snapshot, adds: list[File], marked: Mapping[str, BitMap64], removed: set[str]
) -> list[dict[str, Any]]:
    now = _now_ms()
    actions = [{"remove": snapshot.by_path[path].removed(now)} for path in sorted(removed)]
    left: dict[str, BitMap64] = {}
    rows: dict[str, int] = {}
    for path, positions in marked.items():
        file = snapshot.by_path[path]
        rows[path] = file.rows if file.rows is not None else _count(log, file)
        if positions.max() >= rows[path]:
            raise EbapError(f"{path} has {rows[path]} rows: position {positions.max()} is out of range")
        before = vectors.read(log.store, log.root, file.vector) if file.vector else BitMap64()
        if not positions.isdisjoint(before):
            raise EbapError(f"{path}: row {min(positions & before)} is deleted already; positions are of an older version")
        actions.append({"remove": file.removed(now)})
        if len(before) + len(positions) < rows[path]:
            left[path] = before | positions
    for path, vector in vectors.write(log.store, log.root, left).items():
        file = snapshot.by_path[path]
        marked_file = {**file.added(), "stats": statistics.widened(file.statistics, rows[path]), "deletionVector": vector.json()}
        actions.append({"add": marked_file})
    return actions + [{"add": file.added()} for file in adds]


def _count(log: TableLog, file: File) -> int:
    """Number of rows of a file, from its footer, if the log does not record it."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(log.store.local_file(log.path(file))).num_rows)


def _put(log: TableLog, snapshot: Snapshot, intent: Intent, actions: list[dict[str, Any]]) -> int:
    """Write the next free version, unless a concurrent commit conflicts."""
    data = ("\n".join(json.dumps(action, ensure_ascii=False, separators=(",", ":")) for action in actions) + "\n").encode()
    seen = snapshot
    for _ in range(_TRIES):
        newest = log.snapshot()
        check(snapshot, intent, newest, log.commits(seen.version + 1, newest.version))
        seen = newest
        path = log.commit_path(newest.version + 1)
        try:
            identity = log.store.put_new(path, data)
        except FileExistsError:
            continue
        found = log.store.stat(path)
        # On a disk Spark checks whether a commit exists and then renames its own file to that name, which overwrites ours if it was written
        # in between.
        if found is not None and found.identity == identity:
            return newest.version + 1
    raise ConflictError(f"{log.root}: {_TRIES} attempts conflicted with other writers")


def _info(
    snapshot: Snapshot, operation: str, metadata: Mapping[str, Any] | None, is_blind: bool, metrics: Mapping[str, int]
) -> dict[str, Any]:
    info: dict[str, Any] = {
        "timestamp": _now_ms(),
        "operation": operation,
        "operationParameters": {},
        "readVersion": snapshot.version,
        "isolationLevel": "Serializable",
        "isBlindAppend": is_blind,
        "operationMetrics": {name: str(value) for name, value in metrics.items()},
        "engineInfo": _ENGINE,
        "txnId": str(uuid.uuid4()),
    }
    return info | ({"userMetadata": json.dumps(metadata, sort_keys=True)} if metadata is not None else {})


def _metrics(adds: list[File], marked: Mapping[str, BitMap64], removed: set[str]) -> dict[str, int]:
    return {
        "numAddedFiles": len(adds),
        "numOutputRows": sum(file.rows or 0 for file in adds),
        "numOutputBytes": sum(file.size for file in adds),
        "numDeletedRows": sum(len(rows) for rows in marked.values()),
        "numRemovedFiles": len(removed),
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
