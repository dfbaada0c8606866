"""A table by its log: what is replayed, what is refused by name, and that a reader notices whatever happens to the log."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.delta.commit import commit
from lakehouse.delta.errors import NoTableError, VersionGoneError
from lakehouse.delta.log import TableLog
from lakehouse.delta.store import LocalStore
from lakehouse.errors import EbapError
from tests.unit.lake_tables import FEATURES, append, content, make_table, write_commit


def test_a_snapshot_is_refreshed_by_what_is_new_and_old_ones_stay(tmp_path: Path) -> None:
    log = make_table(str(tmp_path))
    empty = log.snapshot()
    append(TableLog(LocalStore(), str(tmp_path)), (1, "a"), txn=("w", 4), metadata={"bronze": 7})
    newer = log.snapshot()
    assert (newer.version, len(newer.files), dict(newer.txns), newer.user_metadata) == (1, 1, {"w": 4}, '{"bronze": 7}')
    assert (empty.version, empty.files) == (0, ())
    assert log.snapshot() is newer
    assert log.snapshot(0).files == ()
    assert [field.type for field in newer.schema] == ["BIGINT", "STRING", "BOOLEAN"]


def test_a_refresh_reads_nothing_but_what_is_new(tmp_path: Path) -> None:
    class Counting(LocalStore):
        read_paths: list[str]

        def read(self, path: str) -> bytes:
            self.read_paths.append(path)
            return super().read(path)

    store = Counting()
    store.read_paths = []
    log = make_table(str(tmp_path), store=store)
    append(log, (1, "a"))
    log.snapshot()
    append(TableLog(LocalStore(), str(tmp_path)), (2, "b"))
    store.read_paths.clear()
    for _ in range(3):
        log.snapshot()
    assert [Path(path).name for path in store.read_paths] == ["00000000000000000002.json"]


def test_a_table_made_anew_in_the_same_place_is_seen(tmp_path: Path) -> None:
    root = str(tmp_path / "t")
    log = make_table(root)
    append(log, (1, "old"))
    append(log, (2, "old"))
    assert log.snapshot().version == 2
    shutil.rmtree(root)
    other = make_table(root)
    append(other, (3, "new"))
    append(other, (4, "new"))
    assert log.snapshot().version == 2
    assert content(log) == content(other) and len(log.snapshot().files) == 2
    assert {file.path for file in log.snapshot().files} == {file.path for file in other.snapshot().files}


def test_a_commit_that_another_is_renamed_over_is_not_kept(tmp_path: Path) -> None:
    """Spark can do so on a disk, between its look whether a commit is there and its own rename."""
    log = make_table(str(tmp_path))
    append(log, (1, "lost"), txn=("w", 1))
    assert log.snapshot().txns == {"w": 1}
    log.store.put(log.commit_path(1), b'{"commitInfo": {"operation": "WRITE"}}')
    assert (log.snapshot().version, dict(log.snapshot().txns), log.snapshot().files) == (1, {}, ())
    append(log, (1, "again"), txn=("w", 1))
    assert content(log) == {(1, "again", True): 1}


_REFUSED_WRITES = (
    "rowTracking",
    "identityColumns",
    "icebergCompatV2",
    "inCommitTimestamp",
    "allowColumnDefaults",
    "clustering",
    "unheardOf",
)


@pytest.mark.parametrize("feature", _REFUSED_WRITES)
def test_a_writer_feature_that_is_not_known_is_refused_by_name_and_read(tmp_path: Path, feature: str) -> None:
    log = make_table(str(tmp_path), features=(*FEATURES, feature))
    assert content(log) == {}
    with pytest.raises(EbapError, match=feature):
        append(log, (1, "a"))
    assert [path.name for path in tmp_path.iterdir()] == ["_delta_log"], "nothing was written"


@pytest.mark.parametrize("feature", ["columnMapping", "timestampNtz", "variantType", "catalogManaged", "unheardOf"])
def test_a_reader_feature_that_is_not_known_is_refused_by_name(tmp_path: Path, feature: str) -> None:
    log = make_table(str(tmp_path), features=(*FEATURES, feature), reader_features=("deletionVectors", feature))
    with pytest.raises(EbapError, match=feature):
        log.snapshot()


@pytest.mark.parametrize(
    ("field", "properties", "name"),
    [
        ({}, {"constraints.positive": "k > 0"}, "positive"),
        ({"delta.invariants": "{}"}, {}, "invariants"),
        ({"delta.generationExpression": "k + 1"}, {}, "generationExpression"),
        ({"delta.identity.start": 1}, {}, "identity"),
    ],
)
def test_what_only_spark_can_check_is_refused_by_name(
    tmp_path: Path, field: Mapping[str, Any], properties: dict[str, Any], name: str
) -> None:
    log = make_table(str(tmp_path), **properties)
    metadata = dict(log.snapshot().metadata.raw)
    schema = json.loads(metadata["schemaString"])
    schema["fields"][0]["metadata"] = field
    write_commit(log.store, log.root, 1, {"metaData": {**metadata, "schemaString": json.dumps(schema)}})
    with pytest.raises(EbapError, match=name):
        append(log, (1, "a"))


def test_column_mapping_by_a_property_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EbapError, match="columnMapping of mode name"):
        make_table(str(tmp_path), **dict[str, Any]({"columnMapping.mode": "name"})).snapshot()


def test_other_files_of_a_log_are_ignored(tmp_path: Path) -> None:
    log = make_table(str(tmp_path))
    append(log, (1, "a"))
    for name in (f"{0:020d}.{1:020d}.compacted.json", f"{1:020d}.crc", f".{2:020d}.json.x.tmp", f"{2:020d}.checkpoint.x.parquet"):
        (Path(log.log) / name).write_text("no action")
    (Path(log.log) / "_last_checkpoint").write_text("{half")
    assert content(log) == {(1, "a", True): 1}


@pytest.mark.parametrize("path", ["/elsewhere/a.parquet", "file:/elsewhere/a.parquet", "gs://other/a.parquet"])
def test_files_outside_of_the_table_are_refused(tmp_path: Path, path: str) -> None:
    log = make_table(str(tmp_path))
    add = {"path": path, "partitionValues": {"_last": "true"}, "size": 1, "modificationTime": 1, "dataChange": True}
    write_commit(log.store, log.root, 1, {"add": add})
    with pytest.raises(EbapError, match="absolute path"):
        log.snapshot()


def test_types_and_versions_that_are_not_known_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EbapError, match="timestamp_ntz"):
        make_table(str(tmp_path / "a"), columns={"k": "timestamp_ntz"}, partitions=()).snapshot()
    write_commit(LocalStore(), str(tmp_path / "b"), 0, {"protocol": {"minReaderVersion": 4, "minWriterVersion": 7}})
    with pytest.raises(EbapError):
        TableLog(LocalStore(), str(tmp_path / "b")).snapshot()


def test_a_missing_table_and_a_hole_in_the_log_are_said(tmp_path: Path) -> None:
    with pytest.raises(NoTableError):
        TableLog(LocalStore(), str(tmp_path / "none")).snapshot()
    log = make_table(str(tmp_path / "t"))
    append(log, (1, "a"))
    append(log, (2, "a"))
    (Path(log.log) / f"{1:020d}.json").unlink()
    with pytest.raises(VersionGoneError, match="no commit 1"):
        TableLog(LocalStore(), log.root).snapshot()


def test_threads_share_a_log(tmp_path: Path) -> None:
    log = make_table(str(tmp_path))
    seen: list[list[int]] = [[], [], []]
    threads = [threading.Thread(target=lambda mine=mine: [mine.append(log.snapshot().version) for _ in range(200)]) for mine in seen]
    for thread in threads:
        thread.start()
    for key in range(20):
        append(log, (key, "a"))
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) and len(mine) == 200 for mine in seen)
    assert log.snapshot().version == 20


def test_names_with_every_kind_of_character_are_found_again(tmp_path: Path) -> None:
    columns = {"k": "long", "v": "string", "source": "string"}
    log = make_table(str(tmp_path / "a b%20c"), columns=columns, partitions=("source",))
    names = ["a b", "x/y", "x%2Fy", "é:?*[]{}#", "'\"\\", "..", None, "="]
    table = pa.table({"k": pa.array([1], pa.int64()), "v": ["a"]})
    commit(log, log.snapshot(), operation="WRITE", writes=[({"source": name}, table) for name in names])
    assert sorted(str(row[2]) for row in content(log)) == sorted(map(str, names))
    listed = [str(path.relative_to(log.root)) for path in Path(log.root).rglob("*.parquet")]
    assert sorted(listed) == sorted(file.path for file in log.snapshot().files)
