"""Delta tables that tests make without Spark, and writers that run in processes of their own."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.delta import reading
from lakehouse.delta.commit import commit
from lakehouse.delta.log import TableLog
from lakehouse.delta.store import LocalStore, Store
from lakehouse.errors import ConflictError
from lakehouse.spark import delta

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COLUMNS = {"k": "long", "v": "string", "_last": "boolean"}
_EXTREMES: list[dict[str, Any]] = [
    {
        "k": 5000,
        "n": 2147483647,
        "d": "99999999.99",
        "s": "\U0010ffff" * 40,
        "secret": "x",
        "b": b"\x00\xff",
        "f": float("nan"),
        "day": -719162,
        "at": -62135596800000000,
        "tags": ["a", None],
        "ok": True,
    },
    {"k": 5001, "n": -1, "d": "-0.01", "s": "é" * 33, "f": float("-inf"), "day": 2932896, "at": 253402300799999999, "tags": []},
    {"k": 5002, "s": "", "f": -0.0, "day": 0, "at": -1},
    {"k": 5003},
]
FEATURES = ("deletionVectors", "appendOnly", "invariants")


def make_table(
    root: str,
    *,
    columns: Mapping[str, Any] = COLUMNS,
    partitions: tuple[str, ...] = ("_last",),
    features: tuple[str, ...] = FEATURES,
    reader_features: tuple[str, ...] = ("deletionVectors",),
    store: Store | None = None,
    **properties: str,
) -> TableLog:
    """An empty table with deletion vectors; `properties` without their leading `delta.`."""
    store = store or LocalStore()
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in columns.items()]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": reader_features, "writerFeatures": features}
    configuration = {"delta.enableDeletionVectors": "true"} | {f"delta.{name}": value for name, value in properties.items()}
    metadata: dict[str, Any] = {
        "id": "t",
        "format": {"provider": "parquet", "options": {}},
        "partitionColumns": partitions,
        "configuration": configuration,
    }
    metadata |= {"schemaString": json.dumps({"type": "struct", "fields": fields}), "partitionColumns": partitions}
    write_commit(store, root, 0, {"protocol": protocol}, {"metaData": metadata})
    return TableLog(store, root)


def write_commit(store: Store, root: str, version: int, *actions: Mapping[str, Any]) -> None:
    """A commit as another writer would write it."""
    data = "".join(json.dumps(action) + "\n" for action in actions).encode()
    store.put_new(f"{store.root(root)}/_delta_log/{version:020d}.json", data)


def rows(*pairs: tuple[int, str]) -> pa.Table:
    return pa.table({"k": pa.array([k for k, _ in pairs], pa.int64()), "v": pa.array([v for _, v in pairs], pa.string())})


def extremes(log: TableLog) -> pa.Table:
    """Rows with the least and greatest values there are, as Arrow, each column from the plain form of its values."""
    fields = log.snapshot().fields
    columns = {}
    for name in (name for name in fields if name != "_last"):
        kind = fields[name].arrow_type
        values: list[Any] = [row.get(name) for row in _EXTREMES]
        if name == "d":
            columns[name] = pa.array(values, pa.string()).cast(kind)
        else:
            columns[name] = pa.array(values, {"at": pa.int64(), "day": pa.int32()}.get(name, kind)).cast(kind)
    return pa.table(columns)


def append(log: TableLog, *pairs: tuple[int, str], last: bool = True, **options: Any) -> int:
    return commit(log, log.snapshot(), operation="WRITE", writes=[({"_last": last}, rows(*pairs))], **options)


def replace_rows(log: TableLog, keys: list[int], value: str, is_late: Callable[[], object] = lambda: None, **options: Any) -> int:
    """One merge-on-read commit: the rows of these keys are marked as deleted, new ones come in their place."""
    snapshot = log.snapshot()
    positions = positions_of(log, snapshot, keys)
    is_late()
    writes = [({"_last": True}, rows(*((key, value) for key in keys)))]
    return commit(log, snapshot, operation="MERGE", writes=writes, deletes=positions, **options)


def positions_of(log: TableLog, snapshot: Any, keys: list[int]) -> dict[str, list[int]]:
    found = reading.located(reading.connect(), snapshot, log.store, ["k"], where={"k": keys, "_last": [True]})
    positions: dict[str, list[int]] = {}
    for file, position in zip(found[reading.FILE].to_pylist(), found[reading.POSITION].to_pylist(), strict=True):
        positions.setdefault(file, []).append(position)
    return positions


def content(log: TableLog, at: int | None = None) -> Counter[tuple[Any, ...]]:
    """Every row, by how often it is there, read with a log of its own."""
    fresh = TableLog(log.store, log.root)
    found = reading.read(reading.connect(), fresh.snapshot(at), log.store)
    return Counter(tuple(row.values()) for row in found.to_pylist())


def light_writer(root: str, first: int, count: int, turns: Any = None, commits_a_turn: int = 1) -> None:
    """Make `count` commits: each moves the counter row of key `first` on, and adds a row of the next key.

    `turns` is a semaphore to be acquired before each group of commits.
    """
    log, con = TableLog(LocalStore(), root), reading.connect()
    for number in range(1, count + 1):
        if turns and (number - 1) % commits_a_turn == 0:
            turns.acquire()
        while True:
            snapshot = log.snapshot()
            found = reading.located(con, snapshot, log.store, ["k", "v"], where={"k": [first], "_last": [True]})
            (file,), (position,) = found[reading.FILE].to_pylist(), found[reading.POSITION].to_pylist()
            assert found["v"].to_pylist() == [str(number - 1)]
            made = [({"_last": True}, rows((first, str(number)), (first + number, "added")))]
            try:
                commit(
                    log,
                    snapshot,
                    operation="MERGE",
                    writes=made,
                    deletes={file: [position]},
                    txn=(f"writer {first}", number),
                    reads={"k": [first, first + number]},
                )
                break
            except ConflictError:
                continue


def die_at(step: int, root: str, positions: dict[str, list[int]], keys: list[int], value: str) -> None:
    """In a forked process: replace rows, and be killed without warning before the given call that reaches the disk.

    Ends the process with 0 where there are fewer such calls.
    """
    left = step
    real = {name: getattr(owner, name) for owner, name in _CALLS}

    def counted(name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real[name](*given, **named)

        return call

    log = TableLog(LocalStore(), root)
    snapshot = log.snapshot()
    for owner, name in _CALLS:
        setattr(owner, name, counted(name))
    try:
        writes = [({"_last": True}, rows(*((key, value) for key in keys)))]
        commit(log, snapshot, operation="MERGE", writes=writes, deletes=positions, txn=("w", 7))
        os._exit(0)
    finally:
        os._exit(1)


_CALLS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"),
    (os, "link"),
    (Path, "open"),
    (Path, "unlink"),
    (Path, "replace"),
    (Path, "mkdir"),
)


def vacuum(spark: SparkSession, name: str) -> None:
    """Delete every file that the newest version does not need."""
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 0 hours')")
    spark.sql(f"VACUUM {name}")


def until_done(spark: SparkSession, statement: str) -> None:
    """Run a statement until it is not refused because another writer was first."""
    while True:
        try:
            spark.sql(statement)
            return
        except Exception as error:
            if not delta.is_overtaken(error):
                raise
