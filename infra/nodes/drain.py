"""Stop land between two batches and wait until it has stopped: the `ExecStop` command of its systemd unit.

`python -m infra.nodes.drain` exits with 0 once land has stopped, and with 1 after 75 s: then systemd kills land, and the interrupted batch
is landed again at the next start, with the same result.
"""

from __future__ import annotations

import sys

from lakehouse import process
from lakehouse.settings import Settings
from lakehouse.spark import streaming


def drain(settings: Settings, limit_s: float = streaming.DRAIN_LIMIT_S) -> bool:
    """Request land to stop, and return whether it did: it removes the request once it has stopped."""
    request = streaming.stop_file(settings, "land")
    return streaming.drain(request, lambda: not request.exists(), limit_s)


if __name__ == "__main__":
    if not drain(process.begin()):
        sys.exit(f"land did not end within {streaming.DRAIN_LIMIT_S:.0f} s: its last batch will be landed again, with the same result")
