"""Control of a running generator, and of its clicks: a request file and a status file in JSON, and a lock that shows that it runs.

A request stays until another replaces it, so that a paused shop is still paused after a restart.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lakehouse import wait
from lakehouse.errors import EbapError

_POLL_S = 0.05


@dataclass(frozen=True)
class Request:
    """The requested state of the service; `rate` None keeps the rate it was started with. `number` increases with each request.

    `faults` (rates by name) and `has_ledger` are for the clicks.
    """

    is_paused: bool = False
    rate: float | None = None
    number: int = 0
    faults: dict[str, float] = field(default_factory=dict)
    has_ledger: bool = False


class Control:
    """The control files of one service: `generator`, the shop, or `clicks`."""

    def __init__(self, folder: Path, name: str = "generator") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._request_file = folder / f"{name}.json"
        self._status_file = folder / f"{name}.status.json"
        self._lock_file = folder / f"{name}.lock"
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
        write_json(self._request_file, asdict(request))
        return request

    def report(self, **status: Any) -> None:
        """Write the status of the service."""
        write_json(self._status_file, status)

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
                raise EbapError(f"another {self._name} is running", "stop it first; `python -m generator status` shows it") from None
            yield

    def wait_until_applied(self, request: Request, state: str | None, limit_s: float) -> dict[str, Any]:
        """Wait until the service has seen the request and reports that state, None any; returns its status, also if none runs.

        Raises EbapError.
        """
        for _ in wait.looks(limit_s, every_s=_POLL_S):
            status = self.status()
            if status["state"] == "stopped" or (status.get("request", 0) >= request.number and state in (None, status["state"])):
                return status
        raise EbapError(
            f"the {self._name} is still {status['state']} after {limit_s:g} s, not {state or 'further'}", "its log shows what it waits for"
        )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file by one with this content."""
    # Replaced atomically; the draft's name is unique to this process.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content))
    draft.replace(path)
