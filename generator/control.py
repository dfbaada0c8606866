"""Control of a running generator: a request file and a status file in JSON, and a lock that shows that it runs.

A request stays until another replaces it, so that a paused shop is still paused after a restart.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lakehouse import wait
from lakehouse.errors import EbapError

_POLL_S = 0.05


@dataclass(frozen=True)
class Request:
    """The requested state of the service; `rate` None keeps the rate it was started with. `number` increases with each request."""

    is_paused: bool = False
    rate: float | None = None
    number: int = 0


class Control:
    """The control files of one generator."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._request_file = folder / "generator.json"
        self._status_file = folder / "generator.status.json"
        self._lock_file = folder / "generator.lock"
        self._seen: tuple[int, int] | None = None
        self._request = Request()

    def request(self) -> Request:
        """The current request; the file is read only after it changed."""
        try:
            file = self._request_file.stat()
        except FileNotFoundError:
            return Request()
        # Two requests may have the same modification time, but not the same inode.
        if (changed := (file.st_mtime_ns, file.st_ino)) != self._seen:
            self._request = Request(**json.loads(self._request_file.read_text()))
            self._seen = changed
        return self._request

    def submit(self, **changes: Any) -> Request:
        """Replace the current request by one with these changes."""
        before = self.request()
        request = replace(before, **changes, number=before.number + 1)
        _write(self._request_file, asdict(request))
        return request

    def report(self, **status: Any) -> None:
        """Write the status of the service."""
        _write(self._status_file, status)

    def status(self) -> dict[str, Any]:
        """The last reported status; the state is `stopped` if no generator runs."""
        try:
            reported: dict[str, Any] = json.loads(self._status_file.read_text())
        except FileNotFoundError:
            reported = {}
        return reported if self.is_alive() else {**reported, "state": "stopped"}

    def is_alive(self) -> bool:
        """Whether a generator holds the lock, which is released when it is killed."""
        try:
            with self.lock():
                return False
        except EbapError:
            return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock: two generators would sell the same units. Raises EbapError if another one runs."""
        with self._lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EbapError("another generator is running", "stop it first; `python -m generator status` shows it") from None
            yield

    def wait_until_applied(self, request: Request, state: str, limit_s: float) -> dict[str, Any]:
        """Wait until the service reports the requested state; returns its status, also if none runs. Raises EbapError."""
        for _ in wait.looks(limit_s, every_s=_POLL_S):
            status = self.status()
            if status["state"] == "stopped" or (status.get("request", 0) >= request.number and status["state"] == state):
                return status
        raise EbapError(f"the generator is still {status['state']} after {limit_s:g} s, not {state}", "its log shows what it waits for")


def _write(path: Path, content: dict[str, Any]) -> None:
    # Replaced atomically; the draft's name is unique to this process.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content))
    draft.replace(path)
