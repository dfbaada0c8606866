"""What commits added: every new row once, none that a commit only moved, rewrote or took away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.delta import checkpoint, feed, reading
from lakehouse.delta.commit import commit
from lakehouse.delta.errors import VersionGoneError
from lakehouse.delta.log import TableLog
from tests.unit.lake_tables import FEATURES, make_table, rows, write_commit

_COLUMNS = {"k": "long", "v": "string", "source": "string"}


@pytest.fixture
def log(tmp_path: Path) -> TableLog:
    """Two appends, each of two sources."""
    made = make_table(str(tmp_path / "t"), columns=_COLUMNS, partitions=("source",), features=(*FEATURES, "changeDataFeed"))
    for version in (1, 2):
        writes = [({"source": name}, rows((10 * version + n, name))) for n, name in enumerate(("a", "b"))]
        commit(made, made.snapshot(), operation="STREAMING UPDATE", writes=writes, is_blind=True)
    return made


def _added(log: TableLog, start: int, end: int, **where: Any) -> list[tuple[Any, ...]]:
    found = feed.added_rows(reading.connect(), log, start, end, ["k"], where or None)
    assert found.schema == pa.schema([("k", pa.int64()), ("_commit_version", pa.int64())])
    return [tuple(row.values()) for row in found.to_pylist()]


def _put(log: TableLog, path: str, table: pa.Table) -> dict[str, Any]:
    target = Path(log.root) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target)
    return {"path": path, "partitionValues": {"source": "a"}, "size": target.stat().st_size, "modificationTime": 1, "dataChange": True}


def _file(log: TableLog, source: str, version: int) -> Any:
    return next(file for file in log.commits(version, version)[0].adds if file.partition["source"] == source)


def test_appends_come_in_the_order_of_their_versions(log: TableLog) -> None:
    assert _added(log, 0, 2) == [(10, 1), (11, 1), (20, 2), (21, 2)]
    assert _added(log, 2, 2) == [(20, 2), (21, 2)]
    assert _added(log, 1, 2, source=["a"]) == [(10, 1), (20, 2)]
    assert _added(log, 1, 2, k=[11, 20]) == [(11, 1), (20, 2)]
    assert _added(log, 1, 2, source=["none"]) == _added(log, 0, 0) == _added(log, 2, 1) == []


def test_compaction_adds_nothing(log: TableLog) -> None:
    old = [_file(log, "a", 1), _file(log, "a", 2)]
    add = _put(log, "source=a/c.parquet", rows((10, "a"), (20, "a")))
    removes = [{"remove": {**file.removed(1), "dataChange": False}} for file in old]
    write_commit(log.store, log.root, 3, {"commitInfo": {"operation": "OPTIMIZE"}}, {"add": {**add, "dataChange": False}}, *removes)
    assert _added(log, 3, 3) == []
    assert _added(log, 1, 3) == [(10, 1), (11, 1), (20, 2), (21, 2)], "the files of the appends are still there"


def test_a_rewrite_adds_only_what_is_more_than_before(log: TableLog) -> None:
    """As a forget rewrites: the whole file again without one row; here it also adds one, and doubles one."""
    add = _put(log, "source=a/r.parquet", rows((10, "a"), (10, "a"), (30, "a")))
    write_commit(log.store, log.root, 3, {"add": add}, {"remove": _file(log, "a", 1).removed(1)})
    assert sorted(_added(log, 3, 3)) == [(10, 3), (30, 3)]
    assert _added(log, 3, 3, source=["b"]) == []
    assert _added(log, 1, 3, k=[30]) == [(30, 3)]


def test_marked_rows_and_removed_files_add_nothing(log: TableLog) -> None:
    first, second = _file(log, "a", 1), _file(log, "b", 1)
    write = [({"source": "b"}, rows((40, "b"), (41, "b")))]
    commit(log, log.snapshot(), operation="WRITE", writes=write, is_blind=True)
    commit(log, log.snapshot(), operation="DELETE", deletes={_file(log, "b", 3): [0]}, removes=[first, second])
    assert _added(log, 4, 4) == []
    snapshot = log.snapshot(3)
    restored = [{"add": snapshot.by_path[_file(log, "b", 3).path].added()}, {"remove": log.commits(4, 4)[0].adds[0].removed(1)}]
    write_commit(log.store, log.root, 5, {"commitInfo": {"operation": "RESTORE"}}, *restored)
    assert _added(log, 5, 5) == [(40, 5)], "the row that was marked is back"


def test_change_files_say_what_was_inserted(log: TableLog) -> None:
    kinds = ["insert", "delete", "update_preimage", "update_postimage"]
    changes = rows(*((n, "a") for n in range(50, 54))).append_column("_change_type", pa.array(kinds))
    cdc = {**_put(log, "_change_data/source=a/cdc.parquet", changes), "dataChange": False}
    add = _put(log, "source=a/r.parquet", rows((10, "a"), (50, "a"), (53, "a")))
    write_commit(log.store, log.root, 3, {"add": add}, {"remove": _file(log, "a", 1).removed(1)}, {"cdc": cdc})
    assert _added(log, 3, 3) == [(50, 3)]
    assert _added(log, 1, 3, source=["a"]) == [(10, 1), (20, 2), (50, 3)]


def test_a_row_that_lacks_a_column_has_null(log: TableLog) -> None:
    metadata = dict(log.snapshot().metadata.raw)
    schema = json.loads(metadata["schemaString"])
    schema["fields"].append({"name": "later", "type": "timestamp", "nullable": True, "metadata": {}})
    write_commit(log.store, log.root, 3, {"metaData": {**metadata, "schemaString": json.dumps(schema)}})
    found = feed.added_rows(reading.connect(), log, 1, 3)
    assert found["later"].null_count == found.num_rows == 4


def test_what_is_cleaned_away_is_said(log: TableLog) -> None:
    path = Path(log.path(_file(log, "a", 1)))
    path.unlink()
    assert _added(log, 2, 2) == [(20, 2), (21, 2)]
    assert _added(log, 1, 2, source=["b"]) == [(11, 1), (21, 2)]
    with pytest.raises(VersionGoneError, match=path.name):
        _added(log, 1, 2)
    checkpoint.write(log, 2)
    Path(log.commit_path(1)).unlink()
    fresh = TableLog(log.store, log.root)
    with pytest.raises(VersionGoneError, match="no commit 1"):
        _added(fresh, 1, 2)
    assert fresh.earliest() == 0
