"""Checkpoints of a log, and which log files go because one covers them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lakehouse.delta import checkpoint
from lakehouse.delta.errors import VersionGoneError
from lakehouse.delta.log import TableLog
from lakehouse.delta.replay import complete_checkpoints
from lakehouse.delta.store import LocalStore
from tests.unit.lake_tables import FEATURES, append, content, make_table, replace_rows, write_commit


def test_what_is_read_from_a_checkpoint_is_what_the_commits_say(tmp_path: Path) -> None:
    log = make_table(str(tmp_path), features=(*FEATURES, "domainMetadata"))
    append(log, (1, "a"), (2, "b"), txn=("w", 1))
    append(log, (3, "c"), last=False, txn=("x", 9))
    replace_rows(log, [1], "A", txn=("w", 2))
    write_commit(log.store, log.root, 4, {"domainMetadata": {"domain": "d", "configuration": "{}", "removed": False}})
    replayed = log.snapshot()
    expected = content(log)
    checkpoint.write(log, 4)
    for version in range(4):
        (tmp_path / "_delta_log" / f"{version:020d}.json").unlink()
    read = TableLog(LocalStore(), str(tmp_path)).snapshot()
    keyed = lambda snapshot: {file.key: (file.partition, file.size, file.stats) for file in snapshot.files}  # noqa: E731
    assert keyed(read) == keyed(replayed)
    assert (read.txns, read.configuration, read.schema) == (replayed.txns, replayed.configuration, replayed.schema)
    assert read.protocol.writer_features == replayed.protocol.writer_features
    assert dict(read.domains) == dict(replayed.domains)
    assert content(log) == expected
    append(log, (4, "d"))
    assert content(log)[(4, "d", True)] == 1
    with pytest.raises(VersionGoneError):
        TableLog(LocalStore(), str(tmp_path)).snapshot(3)
    with pytest.raises(VersionGoneError):
        TableLog(LocalStore(), str(tmp_path)).commits(3, 4)


def test_tombstones_stay_in_a_checkpoint_for_as_long_as_files_do(tmp_path: Path) -> None:
    log = make_table(str(tmp_path), deletedFileRetentionDuration="interval 1 hours")
    append(log, (1, "a"))
    replace_rows(log, [1], "b")
    (recent,) = log.commits(2, 2)[0].removes
    old = {"path": "old.parquet", "deletionTimestamp": 1, "dataChange": True}
    write_commit(log.store, log.root, 3, {"remove": old})
    checkpoint.write(log, 3)
    found = pq.read_table(f"{log.log}/{3:020d}.checkpoint.parquet")["remove"].drop_null().to_pylist()
    assert [(each["path"], each["dataChange"]) for each in found] == [(recent.path, False)]


def test_multi_part_and_v2_checkpoints_are_read(tmp_path: Path) -> None:
    reader_features = ("deletionVectors", "v2Checkpoint")
    log = make_table(str(tmp_path), features=(*FEATURES, "v2Checkpoint"), reader_features=reader_features)
    for key in range(3):
        append(log, (key, "a"))
    expected, folder = content(log), Path(log.log)
    checkpoint.write(log, 3)
    whole = pq.read_table(folder / f"{3:020d}.checkpoint.parquet")
    (folder / "_last_checkpoint").unlink()
    (folder / f"{3:020d}.checkpoint.parquet").unlink()
    for version in range(4):
        (folder / f"{version:020d}.json").unlink()
    parts = [folder / f"{3:020d}.checkpoint.{part:010d}.{2:010d}.parquet" for part in (1, 2)]
    pq.write_table(whole.slice(0, 3), parts[0])
    assert complete_checkpoints(path.name for path in folder.iterdir()) == [], "a part is missing"
    pq.write_table(whole.slice(3), parts[1])
    assert content(log) == expected
    for part in parts:
        part.unlink()
    (folder / "_sidecars").mkdir()
    pq.write_table(whole.filter(whole["add"].is_valid()).select(["add"]), folder / "_sidecars" / "s.parquet")
    rest = [{k: v for k, v in row.items() if v} for row in whole.to_pylist(maps_as_pydicts="strict") if not row["add"]]
    top = [{"checkpointMetadata": {"version": 3}}, *rest, {"sidecar": {"path": "s.parquet", "sizeInBytes": 1, "modificationTime": 1}}]
    (folder / f"{3:020d}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json").write_text("\n".join(map(json.dumps, top)))
    assert content(log) == expected


def test_a_log_cleaned_behind_a_reader_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    log = make_table(str(tmp_path), checkpointInterval="1000", logRetentionDuration="interval 1 hours")
    assert log.snapshot().version == 0
    other = TableLog(LocalStore(), str(tmp_path))
    for key in range(4):
        append(other, (key, "a"))
    checkpoint.write(other, 4)
    for path in Path(log.log).glob("*.json"):
        os.utime(path, (0, 0))
    assert checkpoint.remove_expired(other) == 4
    assert log.snapshot().version == 4 and sum(content(log).values()) == 4


def test_log_files_go_only_where_an_old_checkpoint_covers_them(tmp_path: Path) -> None:
    log = make_table(str(tmp_path), checkpointInterval="1000", logRetentionDuration="interval 1 hours")
    for key in range(5):
        append(log, (key, "a"))
    names = lambda: sorted(path.name for path in Path(log.log).iterdir() if path.name[0] != "_")  # noqa: E731
    for version in range(4):
        os.utime(Path(log.log) / f"{version:020d}.json", (0, 0))
    everything = names()
    assert checkpoint.remove_expired(log) == 0
    checkpoint.write(log, 5)
    assert checkpoint.remove_expired(log) == 0, "the only checkpoint is newer than what is kept"
    assert set(everything) < set(names())
    checkpoint.write(log, 2)
    left_by_a_dead_writer = Path(log.log) / ".00000000000000000009.json.x.tmp"
    left_by_a_dead_writer.write_text("{")
    os.utime(left_by_a_dead_writer, (0, 0))
    assert checkpoint.remove_expired(log) == 2
    assert names()[0] == "00000000000000000002.checkpoint.parquet"
    assert sum(content(log, at=2).values()) == 2 and sum(content(log).values()) == 5


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("interval 168 hours", 168 * 3600_000),
        ("interval 1 week 2 days", 9 * 86_400_000),
        ("7 days", 7 * 86_400_000),
        ("interval 1 month", None),
    ],
)
def test_lengths_of_time_that_are_not_understood_keep_everything(text: str, milliseconds: int | None) -> None:
    assert checkpoint._milliseconds(text) == milliseconds


def test_a_checkpoint_is_written_every_so_many_versions(tmp_path: Path) -> None:
    log = make_table(str(tmp_path), checkpointInterval="3")
    for key in range(7):
        append(log, (key, "a"))
    found = [each.version for each in complete_checkpoints(path.name for path in Path(log.log).iterdir())]
    assert found == [3, 6]
    assert json.loads((Path(log.log) / "_last_checkpoint").read_text())["version"] == 6


def test_a_checkpoint_that_fails_does_not_fail_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no space")

    log = make_table(str(tmp_path), checkpointInterval="1")
    monkeypatch.setattr(checkpoint, "write", fail)
    assert append(log, (1, "a")) == 1
    assert "no checkpoint of version 1" in caplog.text
    monkeypatch.undo()
    append(log, (2, "a"))
    assert (Path(log.log) / f"{2:020d}.checkpoint.parquet").exists()
