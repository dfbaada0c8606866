"""Periodic check of the source's schema and of the connector.

Each check is a process of its own, so that its errors and memory do not affect the caller.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

_COMMAND = (sys.executable, "-m", "lakehouse", "schema", "--if-changed")
# Capture that one value stopped resumes at the next check.
_EVERY_S = 30.0
# A check takes seconds and times out by itself if a server is unreachable; this limit is for one that hangs.
_LONGEST_S = 600.0


class SchemaWatch:
    """Starts a check `every_s` after the last one started; its output, errors included, goes to the caller's log."""

    def __init__(self, command: Sequence[str] = _COMMAND, every_s: float = _EVERY_S) -> None:
        self._command, self._every_s = list(command), every_s
        self._running: subprocess.Popen[bytes] | None = None
        self._began_at = float("-inf")

    def look(self) -> None:
        """Start a check if it is due and none runs; does not wait for it."""
        age_s = time.monotonic() - self._began_at
        if self._running and self._running.poll() is None:
            if age_s > _LONGEST_S:
                self._running.kill()
            return
        if age_s >= self._every_s:
            self._began_at = time.monotonic()
            self._running = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
