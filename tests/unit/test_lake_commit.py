"""Commits to one table: what conflicts and what does not, what is written once, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.delta import conflicts
from lakehouse.delta.actions import File
from lakehouse.delta.commit import commit
from lakehouse.delta.errors import AlreadyAppliedError
from lakehouse.delta.log import TableLog
from lakehouse.delta.store import LocalStore
from lakehouse.errors import ConflictError, EbapError
from tests.unit.lake_tables import append, content, make_table, replace_rows, rows, write_commit


@pytest.fixture
def log(tmp_path: Path) -> TableLog:
    made = make_table(str(tmp_path / "t"))
    append(made, (1, "a"), (2, "a"), (3, "a"))
    return made


def _other(log: TableLog) -> TableLog:
    return TableLog(LocalStore(), log.root)


def _compact(log: TableLog, file: File) -> None:
    """What OPTIMIZE does: the same rows in another file."""
    Path(f"{log.root}/_last=true/compacted.parquet").write_bytes(Path(log.path(file)).read_bytes())
    info = {"operation": "OPTIMIZE", "isBlindAppend": False}
    remove = {**file.removed(1), "dataChange": False}
    add = {**file.added(is_data_change=False), "path": "_last=true/compacted.parquet"}
    write_commit(log.store, log.root, log.snapshot().version + 1, {"commitInfo": info}, {"remove": remove}, {"add": add})


def test_marking_the_same_file_twice_conflicts(log: TableLog) -> None:
    with pytest.raises(ConflictError) as caught:
        replace_rows(log, [1], "mine", is_late=lambda: replace_rows(_other(log), [2], "theirs"))
    assert caught.value.is_retryable
    assert content(log) == {(1, "a", True): 1, (2, "theirs", True): 1, (3, "a", True): 1}


def test_without_the_check_a_row_comes_back(log: TableLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the test above: it can fail."""
    monkeypatch.setattr("lakehouse.delta.commit.check", lambda *_: None)
    replace_rows(log, [1], "mine", is_late=lambda: replace_rows(_other(log), [2], "theirs"))
    assert content(log) != {(1, "mine", True): 1, (2, "theirs", True): 1, (3, "a", True): 1}


def test_a_compaction_of_a_marked_file_conflicts(log: TableLog) -> None:
    with pytest.raises(ConflictError, match="OPTIMIZE"):
        replace_rows(log, [1], "b", is_late=lambda: _compact(_other(log), log.snapshot().files[0]))
    assert content(log) == {(1, "a", True): 1, (2, "a", True): 1, (3, "a", True): 1}


def test_a_compaction_of_other_files_is_passed_by(log: TableLog) -> None:
    (first,) = log.snapshot().files
    append(log, (9, "z"))
    (second,) = [file for file in log.snapshot().files if file != first]
    assert replace_rows(log, [1], "b", is_late=lambda: _compact(_other(log), second)) == 4
    assert content(log) == {(1, "b", True): 1, (2, "a", True): 1, (3, "a", True): 1, (9, "z", True): 1}


def test_a_blind_append_of_another_is_passed_by(log: TableLog) -> None:
    late = lambda: append(_other(log), (7, "theirs"), is_blind=True)  # noqa: E731
    assert replace_rows(log, [1], "mine", is_late=late, txn=("w", 1)) == 3
    assert content(log)[(7, "theirs", True)] == content(log)[(1, "mine", True)] == 1


def test_rows_that_another_decided_on_conflict_where_they_were_read(log: TableLog) -> None:
    late = lambda: append(_other(log), (7, "theirs"))  # noqa: E731
    with pytest.raises(ConflictError, match="rows that this commit read"):
        replace_rows(log, [1], "mine", is_late=late)
    assert replace_rows(log, [1], "mine", is_late=late, reads={"k": [1]}) == 4
    with pytest.raises(ConflictError, match="rows that this commit read"):
        replace_rows(log, [2], "mine", is_late=late, reads={"k": [2, 7]})


def test_a_blind_append_conflicts_with_nothing_but_another_schema(log: TableLog) -> None:
    before = log.snapshot()
    replace_rows(_other(log), [1], "theirs")
    _ = append(_other(log), (8, "theirs"))
    assert commit(log, before, operation="WRITE", writes=[({"_last": True}, rows((9, "mine")))], is_blind=True) == 4
    write_commit(log.store, log.root, 5, {"metaData": log.snapshot().metadata.raw})
    with pytest.raises(ConflictError, match="columns, properties or protocol"):
        commit(log, before, operation="WRITE", writes=[({"_last": True}, rows((10, "mine")))], is_blind=True)


def test_a_transaction_is_applied_once(log: TableLog) -> None:
    append(log, (7, "b"), txn=("w", 5))
    for number in (5, 4):
        with pytest.raises(AlreadyAppliedError) as caught:
            append(log, (7, "again"), txn=("w", number))
        assert not caught.value.is_retryable
    before = log.snapshot()
    append(_other(log), (8, "b"), txn=("w", 6), is_blind=True)
    with pytest.raises(AlreadyAppliedError):
        commit(log, before, operation="WRITE", writes=[({"_last": True}, rows((8, "again")))], txn=("w", 6), is_blind=True)
    with pytest.raises(ConflictError, match="same writer"):
        commit(log, before, operation="WRITE", writes=[({"_last": True}, rows((8, "again")))], txn=("w", 7), is_blind=True)
    assert append(log, (9, "c"), txn=("other", 1))


def test_nothing_is_written_where_nothing_changes(log: TableLog) -> None:
    before = log.snapshot()
    listed = sorted(Path(log.root).rglob("*"))
    empty = [({"_last": True}, rows())]
    assert commit(log, before, operation="MERGE", writes=empty, deletes={before.files[0]: []}, txn=("w", 1)) == before.version
    assert sorted(Path(log.root).rglob("*")) == listed
    assert commit(log, before, operation="MERGE", txn=("w", 1), keeps_txn=True) == before.version + 1
    assert log.snapshot().txns["w"] == 1


def test_a_file_without_live_rows_is_removed(log: TableLog) -> None:
    replace_rows(log, [1, 2], "b")
    assert len(log.snapshot().files) == 2
    replace_rows(log, [3], "b")
    assert all(file.vector is None for file in log.snapshot().files) and len(log.snapshot().files) == 2
    assert len(log.commits(3, 3)[0].removes) == 1


def test_marks_are_joined_with_those_that_are_there(log: TableLog) -> None:
    replace_rows(log, [1], "b")
    replace_rows(log, [2], "b")
    (marked,) = [file for file in log.snapshot().files if file.vector]
    assert marked.vector and marked.vector.cardinality == 2
    assert marked.rows == 3 and marked.statistics["tightBounds"] is False
    assert content(log) == {(1, "b", True): 1, (2, "b", True): 1, (3, "a", True): 1}


def test_a_slice_is_replaced_in_one_commit(tmp_path: Path) -> None:
    log = make_table(str(tmp_path), columns={"k": "long", "v": "string", "day": "date"}, partitions=("day",))
    for day in (20000, 20001):
        commit(log, log.snapshot(), operation="WRITE", writes=[({"day": day}, rows((day, "old")))])
    snapshot = log.snapshot()
    old = [file for file in snapshot.files if file.partition["day"] == "2024-10-05"]
    made = commit(log, snapshot, operation="REPLACE", writes=[({"day": 20001}, rows((20001, "new")))], removes=old, reads={"day": [20001]})
    assert sorted((k, v) for k, v, _ in content(log)) == [(20000, "old"), (20001, "new")]
    assert log.commits(made, made)[0].operation == "REPLACE"


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (pa.table({"k": [1], "other": ["x"]}), "other is not a column"),
        (pa.table({"k": ["x"], "v": ["x"]}), "k does not fit BIGINT"),
        (pa.table({"k": pa.array([2**63], pa.uint64())}), "k does not fit BIGINT"),
        (pa.table({"k": [1.5]}), "k does not fit BIGINT"),
    ],
)
def test_rows_that_do_not_fit_are_refused(log: TableLog, table: pa.Table, fault: str) -> None:
    with pytest.raises(EbapError, match=fault):
        commit(log, log.snapshot(), operation="WRITE", writes=[({"_last": True}, table)])


def test_what_makes_no_sense_is_refused(log: TableLog, tmp_path: Path) -> None:
    snapshot = log.snapshot()
    (file,) = snapshot.files
    refused: list[tuple[dict[str, Any], str]] = [
        ({"deletes": {"nowhere": [1]}}, "has no file"),
        ({"deletes": {file: [3]}}, "position 3 is out of range"),
        ({"deletes": {file: [0]}, "removes": [file]}, "both to be removed"),
        ({"deletes": {file: [0]}, "is_blind": True}, "cannot be blind"),
        ({"writes": [({}, rows((1, "a")))]}, "partitioned by"),
        ({"writes": [({"_last": "true"}, rows((1, "a")))]}, "not a value of the partition column"),
    ]
    for options, fault in refused:
        with pytest.raises(EbapError, match=fault):
            commit(log, snapshot, operation="X", **options)
    replace_rows(log, [1], "b")
    with pytest.raises(EbapError, match="deleted already"):
        commit(log, log.snapshot(), operation="X", deletes={file.path: [0]})
    plain = make_table(str(tmp_path / "plain"), enableDeletionVectors="false")
    append(plain, (1, "a"))
    with pytest.raises(EbapError, match="no deletion vectors"):
        replace_rows(plain, [1], "b")
    only = make_table(str(tmp_path / "only"), appendOnly="true")
    append(only, (1, "a"))
    with pytest.raises(EbapError, match="append-only"):
        commit(only, only.snapshot(), operation="X", removes=only.snapshot().files)


def test_a_commit_that_was_renamed_over_is_made_again(log: TableLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Spark can do on a disk: it looks, finds the name free, and renames its own commit to it after ours came in between."""
    real = LocalStore.put_new
    theirs = json.dumps({"commitInfo": {"operation": "WRITE", "isBlindAppend": True}}).encode()

    def overtaken(self: LocalStore, path: str, data: bytes) -> str:
        identity = real(self, path, data)
        if path.endswith(f"{2:020d}.json"):
            Path(path).with_suffix(".theirs").write_bytes(theirs)
            Path(path).with_suffix(".theirs").replace(path)
        return identity

    monkeypatch.setattr(LocalStore, "put_new", overtaken)
    assert append(log, (9, "z")) == 3
    assert content(log)[(9, "z", True)] == 1 and len(log.commits(2, 3)) == 2


def test_of_two_writers_of_one_name_one_wins(tmp_path: Path) -> None:
    store, path = LocalStore(), str(tmp_path / "new" / "object")
    store.put_new(path, b"first")
    with pytest.raises(FileExistsError):
        store.put_new(path, b"second")
    assert store.read(path) == b"first"
    assert [found.name for found in (tmp_path / "new").iterdir()] == ["object"]


def test_conflicts_name_the_commit(log: TableLog) -> None:
    intent = conflicts.Intent(touched={"f"}, reads=None, is_blind=False, txn=None)
    replace_rows(log, [1], "b")
    with pytest.raises(ConflictError, match=r"version 2 \(MERGE\)"):
        conflicts.check(log.snapshot(1), intent, log.snapshot(), log.commits(2, 2))


def test_a_table_that_was_made_anew_is_not_committed_to(log: TableLog) -> None:
    append(log, (4, "a"))
    before = log.snapshot()
    shutil.rmtree(log.root)
    other = make_table(log.root)
    blind: dict[str, Any] = {"operation": "WRITE", "writes": [({"_last": True}, rows((1, "a")))], "is_blind": True}
    with pytest.raises(ConflictError, match="recreated concurrently"):
        commit(log, before, **blind)
    for version in (1, 2, 3):
        write_commit(other.store, other.root, version, {"metaData": {**other.snapshot().metadata.raw, "id": "another"}})
    with pytest.raises(ConflictError, match="recreated concurrently"):
        commit(log, before, **blind)
