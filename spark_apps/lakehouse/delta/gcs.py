"""Objects of the lake in Google Cloud Storage, or in an emulator.

An object is written in one request (`uploadType=multipart`), which checks its precondition: emulators ignore the precondition of other
uploads. Objects above 8 MiB are uploaded in parts, whose precondition only Google's service checks; commits are never that large.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from google.api_core.exceptions import NotFound, PreconditionFailed

from lakehouse.delta import objects
from lakehouse.delta.store import Stat
from lakehouse.errors import EbapError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from google.cloud.storage import Blob

_TIMEOUT_S = 60
_BINARY = "application/octet-stream"
_CACHE_BYTES = 2 * 2**30
# A running query may not have opened all its files yet.
_IN_USE_S = 900


class GcsStore:
    """Objects of buckets; immutable files are copied to EBAP_HOME/tmp/objects when they are first read there."""

    def __init__(self, settings: Settings, cache_bytes: int = _CACHE_BYTES) -> None:
        self._client = objects.client(settings)
        self._cache = settings.home_dir / "tmp" / "objects"
        self._cache_bytes = cache_bytes

    def root(self, location: str) -> str:
        if not location.startswith("gs://"):
            raise EbapError(f"{location} is in no bucket", "give a gs: URI")
        return location.rstrip("/")

    def read(self, path: str) -> bytes:
        try:
            return bytes(self._blob(path).download_as_bytes(timeout=_TIMEOUT_S))
        except NotFound:
            raise FileNotFoundError(path) from None

    def list(self, prefix: str, start_after: str = "") -> list[str]:
        bucket, key = _split(f"{prefix}/")
        found = self._client.bucket(bucket).list_blobs(prefix=key, delimiter="/", start_offset=key + start_after, timeout=_TIMEOUT_S)
        names = (str(blob.name).removeprefix(key) for blob in found)
        return sorted(name for name in names if name > start_after)

    def stat(self, path: str) -> Stat | None:
        bucket, key = _split(path)
        found = self._client.bucket(bucket).get_blob(key, timeout=_TIMEOUT_S)
        if found is None:
            return None
        assert found.updated is not None
        return Stat(str(found.generation), int(found.updated.timestamp() * 1000), int(found.size or 0))

    def put_new(self, path: str, data: bytes) -> str:
        blob = self._blob(path)
        try:
            blob.upload_from_string(data, content_type=_BINARY, if_generation_match=0, timeout=_TIMEOUT_S)
        except PreconditionFailed:
            # The client retries a request whose response was lost: the existing object may be our own.
            found = self.stat(path)
            if found is None or found.size != len(data) or self.read(path) != data:
                raise FileExistsError(path) from None
            return found.identity
        return str(blob.generation)

    def put_unique(self, path: str, data: bytes) -> None:
        self.put_new(path, data)

    def put(self, path: str, data: bytes) -> None:
        self._blob(path).upload_from_string(data, content_type=_BINARY, timeout=_TIMEOUT_S)

    def delete(self, path: str) -> None:
        try:
            self._blob(path).delete(timeout=_TIMEOUT_S)
        except NotFound:
            return

    def local_file(self, path: str) -> str:
        target = self._cache / f"{hashlib.sha256(path.encode()).hexdigest()}{Path(path).suffix}"
        if target.exists():
            os.utime(target)  # the last use, by which copies are evicted
            return str(target)
        data = self.read(path)
        self._cache.mkdir(parents=True, exist_ok=True)
        self._make_room(len(data))
        temporary = target.with_name(f".{uuid.uuid4()}.tmp")
        temporary.write_bytes(data)
        temporary.replace(target)
        return str(target)

    def _make_room(self, size: int) -> None:
        """Evict the least recently used copies until the new one fits, except those that may be in use."""
        copies = sorted((found.stat().st_mtime, found.stat().st_size, found) for found in self._cache.iterdir())
        total = sum(each[1] for each in copies) + size
        for used_at, copied, path in copies:
            if total <= self._cache_bytes or used_at > time.time() - _IN_USE_S:
                return
            path.unlink(missing_ok=True)
            total -= copied

    def _blob(self, path: str) -> Blob:
        bucket, key = _split(path)
        return self._client.bucket(bucket).blob(key)


def _split(path: str) -> tuple[str, str]:
    parts = urlsplit(path.replace("%", "%25").replace("#", "%23").replace("?", "%3F"))
    return parts.netloc, path.removeprefix(f"gs://{parts.netloc}/")
