"""Objects of a bucket, in an emulator that is a real process, beside those of a disk: the same promises of both."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lakehouse.delta import objects
from lakehouse.delta.errors import VersionGoneError
from lakehouse.delta.gcs import GcsStore
from lakehouse.delta.log import TableLog
from lakehouse.delta.store import LocalStore, Store
from lakehouse.lake.lake import store_of
from lakehouse.settings import Settings
from tests.gcs import emulator
from tests.unit.lake_tables import append, content, make_table, replace_rows


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with emulator() as made:
        yield made


@pytest.fixture
def bucket(address: str, tmp_path: Path) -> Settings:
    made = Settings(home=str(tmp_path), lake=f"gs://lake-{uuid.uuid4().hex}/a b", gcs_endpoint=address)
    objects.ensure_bucket(made)
    return made


@pytest.fixture(params=["disk", "bucket"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return request.getfixturevalue("bucket") if request.param == "bucket" else Settings(home=str(tmp_path))


@pytest.fixture
def store(settings: Settings) -> Store:
    made = store_of(settings)
    assert isinstance(made, GcsStore if settings.is_on_gcs else LocalStore)
    return made


def test_objects_are_written_listed_and_deleted(store: Store, settings: Settings) -> None:
    folder = f"{store.root(settings.lake_root)}/t/_delta_log"
    assert store.list(folder) == [] and store.stat(f"{folder}/1") is None
    with pytest.raises(FileNotFoundError):
        store.read(f"{folder}/1")
    store.put_unique(f"{folder}/deeper/x", b"no object of this folder")
    for name in ("1", "2", "10", "a b%20c#é"):
        store.put_new(f"{folder}/{name}", name.encode())
    assert store.list(folder) == ["1", "10", "2", "a b%20c#é"]
    assert store.list(folder, "10") == ["2", "a b%20c#é"]
    assert store.read(f"{folder}/a b%20c#é") == "a b%20c#é".encode()
    with pytest.raises(FileExistsError):
        store.put_new(f"{folder}/1", b"other")
    before = store.stat(f"{folder}/1")
    store.put(f"{folder}/1", b"another")
    after = store.stat(f"{folder}/1")
    assert before and after and before.identity != after.identity and after.size == 7
    assert store.read(f"{folder}/1") == b"another"
    for _ in range(2):
        store.delete(f"{folder}/1")
    assert store.list(folder) == ["10", "2", "a b%20c#é"]
    with pytest.raises(FileNotFoundError):
        store.local_file(f"{folder}/1")


def _winners(store: Store, settings: Settings, write: Callable[[Store, str, bytes], object]) -> list[int]:
    """Of 40 races of two writers each, how many writers were told that they won."""

    def attempt(path: str, data: bytes) -> int:
        try:
            write(store, path, data)
        except FileExistsError:
            return 0
        return 1

    with ThreadPoolExecutor(2) as pool:
        paths = [f"{store.root(settings.lake_root)}/race/{number}" for number in range(40)]
        races = [[pool.submit(attempt, path, data) for data in (b"one", b"two")] for path in paths]
        return [sum(each.result() for each in race) for race in races]


def test_of_two_writers_one_wins(store: Store, settings: Settings) -> None:
    assert _winners(store, settings, lambda store, path, data: store.put_new(path, data)) == [1] * 40


def test_without_the_condition_both_win(store: Store, settings: Settings) -> None:
    """The negative control of the test above."""
    assert _winners(store, settings, lambda store, path, data: store.put(path, data)) == [2] * 40


def test_a_repeated_upload_of_the_same_bytes_is_the_first_one(bucket: Settings) -> None:
    """The client repeats an upload whose answer was lost; the object that is there is its own."""
    store = GcsStore(bucket)
    assert store.put_new(f"{bucket.lake_root}/x", b"mine") == store.put_new(f"{bucket.lake_root}/x", b"mine")


def test_a_table_lives_in_a_bucket(store: Store, settings: Settings) -> None:
    log = make_table(f"{settings.lake_root}/silver/t", store=store, checkpointInterval="3")
    append(log, *((key, "a") for key in range(3000)), txn=("w", 1))
    keys = list(range(0, 3000, 2))
    replace_rows(log, keys, "b", txn=("w", 2))
    append(log, (-1, "c"), last=False)
    expected = {(key, "b" if key % 2 == 0 else "a", True): 1 for key in range(3000)} | {(-1, "c", False): 1}
    assert content(log) == expected
    assert any(file.vector and file.vector.storage_type == "u" for file in log.snapshot().files)
    fresh = TableLog(store, f"{settings.lake_root}/silver/t")
    assert "00000000000000000003.checkpoint.parquet" in store.list(fresh.log)
    assert fresh.snapshot().txns == {"w": 2}
    append(log, (-2, "d"))
    assert fresh.snapshot().version == 4


def test_copies_are_kept_within_bounds(bucket: Settings) -> None:
    store = GcsStore(bucket, cache_bytes=25)
    paths = [f"{bucket.lake_root}/{number}.parquet" for number in range(4)]
    for path in paths:
        store.put_new(path, b"0123456789")
    copies = [Path(store.local_file(path)) for path in paths[:2]]
    os.utime(copies[0], (1, 1))
    os.utime(copies[1], (2, 2))
    assert store.local_file(paths[0]) == str(copies[0]), "used again: no longer the oldest"
    third = Path(store.local_file(paths[2]))
    assert copies[0].exists() and third.exists() and not copies[1].exists()
    assert Path(store.local_file(paths[3])).exists() and third.exists(), "copies in use stay, whatever the bound"


def test_a_deleted_file_is_a_version_that_is_gone(store: Store, settings: Settings) -> None:
    log = make_table(f"{settings.lake_root}/t", store=store)
    append(log, (1, "a"))
    (file,) = log.snapshot().files
    store.delete(log.path(file))
    with pytest.raises(VersionGoneError, match=file.path):
        content(log)
