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
    """What is asked of the service; `rate` None leaves the rate it was started with. `number` rises with each request."""

    is_paused: bool = False
    rate: float | None = None
    number: int = 0


class Control:
    """The files of one generator, in the folder of control files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._request_file = folder / "generator.json"
        self._status_file = folder / "generator.status.json"
        self._lock_file = folder / "generator.lock"
        self._seen: tuple[int, int] | None = None
        self._request = Request()

    def request(self) -> Request:
        """The request in force; the file is read only when it changed."""
        try:
            file = self._request_file.stat()
        except FileNotFoundError:
            return Request()
        # Two requests may fall into one tick of the file system's clock; each is a file of its own.
        if (changed := (file.st_mtime_ns, file.st_ino)) != self._seen:
            self._request = Request(**json.loads(self._request_file.read_text()))
            self._seen = changed
        return self._request

    def ask(self, **changes: Any) -> Request:
        """Put another request in force: the one before it with these changes."""
        before = self.request()
        request = replace(before, **changes, number=before.number + 1)
        _write(self._request_file, asdict(request))
        return request

    def tell(self, **status: Any) -> None:
        """Say how the service stands."""
        _write(self._status_file, status)

    def status(self) -> dict[str, Any]:
        """What the service said last; its state is `stopped` where no generator runs, whatever was said before."""
        try:
            said: dict[str, Any] = json.loads(self._status_file.read_text())
        except FileNotFoundError:
            said = {}
        return said if self.is_alive() else {**said, "state": "stopped"}

    def is_alive(self) -> bool:
        """Whether a generator holds the lock; a killed one does not."""
        try:
            with self.alone():
                return False
        except EbapError:
            return True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock: two generators would sell the same units. Raises EbapError where another one runs."""
        with self._lock_file.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EbapError("another generator writes to this shop", "`python -m generator status` shows it; stop it first") from None
            yield

    def wait_until_followed(self, request: Request, state: str, limit_s: float) -> dict[str, Any]:
        """Wait until the service says that it stands as asked; returns its status, also where none runs. Raises EbapError."""
        for _ in wait.looks(limit_s, every_s=_POLL_S):
            status = self.status()
            if status["state"] == "stopped" or (status.get("request", 0) >= request.number and status["state"] == state):
                return status
        raise EbapError(f"the generator is still {status['state']} after {limit_s:g} s, not {state}: its log says what it waits for")


def _write(path: Path, content: dict[str, Any]) -> None:
    # A reader never sees half a file; the name of the draft is this process's own.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content))
    draft.replace(path)
