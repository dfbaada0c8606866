"""Object store of the lake: a local disk or a bucket, behind one interface.

A path is a URI (`file:`, `gs:`) or, on a disk, an absolute path. A write is complete and on stable storage when the call returns.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from lakehouse.errors import EbapError


@dataclass(frozen=True)
class Stat:
    """`identity` differs after an object was replaced; the modification time is in milliseconds since 1970 UTC, the size in bytes."""

    identity: str
    modified_ms: int
    size: int


class Store(Protocol):
    """Storage of the tables' files. A missing object raises FileNotFoundError, unless stated otherwise."""

    def root(self, location: str) -> str:
        """The location of a table as this store's paths begin, without a trailing slash."""

    def read(self, path: str) -> bytes:
        """All bytes of an object."""

    def list(self, prefix: str, start_after: str = "") -> list[str]:
        """Sorted names of the objects directly in the folder `prefix` that sort after `start_after`; empty without such a folder."""

    def stat(self, path: str) -> Stat | None:
        """Metadata of an object; None if there is none."""

    def put_new(self, path: str, data: bytes) -> str:
        """Write an object that is not there yet and return its identity. Raises FileExistsError; of two writers one wins."""

    def put_unique(self, path: str, data: bytes) -> None:
        """Write an object under a unique name. If the process dies, a part may remain, which nothing references."""

    def put(self, path: str, data: bytes) -> None:
        """Write an object, replacing an existing one."""

    def delete(self, path: str) -> None:
        """Delete an object; no error if there is none."""

    def local_file(self, path: str) -> str:
        """Local path of an immutable object: the file itself, or a copy that may be evicted later."""


class LocalStore:
    """Files on the local disk."""

    def root(self, location: str) -> str:
        path = unquote(urlsplit(location).path) if location.startswith("file:") else location
        if not path.startswith("/"):
            raise EbapError(f"{location} is not on this machine's disk", "give a file: URI or an absolute path")
        return path.rstrip("/")

    def read(self, path: str) -> bytes:
        with Path(self.root(path)).open("rb") as file:
            return file.read()

    def list(self, prefix: str, start_after: str = "") -> list[str]:
        try:
            with os.scandir(self.root(prefix)) as entries:
                return sorted(entry.name for entry in entries if entry.name > start_after and entry.is_file())
        except FileNotFoundError:
            return []

    def stat(self, path: str) -> Stat | None:
        try:
            found = Path(self.root(path)).stat()
        except FileNotFoundError:
            return None
        return Stat(_identity(found), found.st_mtime_ns // 1_000_000, found.st_size)

    def put_new(self, path: str, data: bytes) -> str:
        target = self.root(path)
        temporary, identity = _written(target, data)
        try:
            # Unlike a rename, a link fails if the name exists.
            os.link(temporary, target)
        finally:
            Path(temporary).unlink()
        _sync_folder(Path(target).parent)
        return identity

    def put_unique(self, path: str, data: bytes) -> None:
        # Written under its final name: VACUUM deletes files of dead writers, but not hidden ones.
        target = Path(self.root(path))
        _make_folder(target.parent)
        _write_new(target, data)
        _sync_folder(target.parent)

    def put(self, path: str, data: bytes) -> None:
        target = Path(self.root(path))
        temporary, _ = _written(str(target), data)
        # Hadoop verifies a file against the checksum beside it: a stale one would make the new file unreadable to Spark.
        target.with_name(f".{target.name}.crc").unlink(missing_ok=True)
        Path(temporary).replace(target)
        _sync_folder(target.parent)

    def delete(self, path: str) -> None:
        target = Path(self.root(path))
        target.unlink(missing_ok=True)
        target.with_name(f".{target.name}.crc").unlink(missing_ok=True)

    def local_file(self, path: str) -> str:
        target = self.root(path)
        if not Path(target).is_file():
            raise FileNotFoundError(target)
        return target


def _written(target: str, data: bytes) -> tuple[str, str]:
    """A synced temporary file beside the target, and its identity. Spark and Delta ignore its name."""
    folder = Path(target).parent
    _make_folder(folder)
    temporary = folder / f".{Path(target).name}.{uuid.uuid4()}.tmp"
    return str(temporary), _write_new(temporary, data)


def _write_new(path: Path, data: bytes) -> str:
    """Write and sync a new file; its identity."""
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            return _identity(os.fstat(file.fileno()))
    except FileExistsError:
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _identity(found: os.stat_result) -> str:
    return f"{found.st_ino}:{found.st_mtime_ns}:{found.st_size}"
