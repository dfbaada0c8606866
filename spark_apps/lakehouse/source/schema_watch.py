"""Check of the source's schema and of the connector, every half minute.

It is a short process, so that neither its errors nor its memory are the caller's.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

_COMMAND = (sys.executable, "-m", "lakehouse", "schema", "--if-changed")
# A capture that one value stopped stands still until the next look.
_EVERY_S = 30.0
# A look that records something takes seconds; one whose server is away gives up by itself.
_LONGEST_S = 600.0


class SchemaWatch:
    """Starts a look when the last one is half a minute old; what it says, also of a source that is away, goes to the caller's log."""

    def __init__(self, command: Sequence[str] = _COMMAND, every_s: float = _EVERY_S) -> None:
        self._command, self._every_s = list(command), every_s
        self._running: subprocess.Popen[bytes] | None = None
        self._began_at = float("-inf")

    def look(self) -> None:
        """Start one if it is due, and return at once; there is never more than one."""
        age_s = time.monotonic() - self._began_at
        if self._running and self._running.poll() is None:
            if age_s > _LONGEST_S:
                self._running.kill()
            return
        if age_s >= self._every_s:
            self._began_at = time.monotonic()
            self._running = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
