"""Deletion vectors: an example of Delta itself, what is written, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pyroaring import BitMap64

from lakehouse.delta import vectors
from lakehouse.delta.actions import DeletionVector
from lakehouse.delta.store import LocalStore
from lakehouse.errors import EbapError

# An example of Delta itself: rows 3, 4, 7, 11, 18 and 29.
_EXAMPLE = DeletionVector(
    storage_type="i",
    path_or_inline="^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
    offset=None,
    size=44,
    cardinality=6,
)
_STORE = LocalStore()


def test_z85_is_that_of_its_specification() -> None:
    assert vectors.z85_encode(bytes.fromhex("864FD26FB559F75B")) == "HelloWorld"
    assert vectors.z85_decode("HelloWorld") == bytes.fromhex("864FD26FB559F75B")
    for text in ("Hello,orld", "Hell", "#####"):
        with pytest.raises(EbapError):
            vectors.z85_decode(text)


def test_an_inline_vector_of_another_writer_is_read() -> None:
    assert list(vectors.read(_STORE, "/nowhere", _EXAMPLE)) == [3, 4, 7, 11, 18, 29]


@pytest.mark.parametrize("positions", [[0], [3, 4, 7], list(range(100_000)), list(range(0, 2**20, 97)), [2**31, 2**33 + 1]])
def test_what_is_written_is_read(tmp_path: Path, positions: list[int]) -> None:
    made = vectors.write(_STORE, str(tmp_path), {"a": BitMap64(positions), "b": BitMap64([1])})
    assert list(vectors.read(_STORE, str(tmp_path), made["a"])) == positions
    assert list(vectors.read(_STORE, str(tmp_path), made["b"])) == [1]
    assert made["a"].cardinality == len(positions)


def test_vectors_share_a_file(tmp_path: Path) -> None:
    scattered = BitMap64(range(0, 10_000, 3))
    made = vectors.write(_STORE, str(tmp_path), {"a": BitMap64([5]), "b": scattered | BitMap64([1])})
    assert {made[name].storage_type for name in ("a", "b")} == {"u"}
    (file,) = tmp_path.iterdir()
    assert str(file) == vectors.file_path(str(tmp_path), made["a"]) == vectors.file_path(str(tmp_path), made["b"])
    assert made["a"].offset == 1 and made["b"].offset == 1 + 4 + made["a"].size + 4


def test_damage_is_refused(tmp_path: Path) -> None:
    scattered = BitMap64(range(0, 10_000, 3))
    vector = vectors.write(_STORE, str(tmp_path), {"a": scattered})["a"]
    path = Path(vectors.file_path(str(tmp_path), vector))
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    with pytest.raises(EbapError, match="damaged"):
        vectors.read(_STORE, str(tmp_path), vector)
    path.write_bytes(b"\x02" + whole[1:])
    with pytest.raises(EbapError, match="version 02"):
        vectors.read(_STORE, str(tmp_path), vector)
    path.write_bytes(whole)
    with pytest.raises(EbapError, match="the log records"):
        vectors.read(_STORE, str(tmp_path), replace(vector, cardinality=1))
    with pytest.raises(EbapError, match="format"):
        vectors.decode(b"\0\0\0\0" + whole)
