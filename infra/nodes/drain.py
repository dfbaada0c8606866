"""Ask land to end between two batches, and wait until it has: what its systemd unit runs when it is stopped (`ExecStop`).

`python -m infra.nodes.drain` ends with 0 once land has obeyed, and with 1 after 75 s: then systemd's signal ends it, and the batch
that was cut short is landed again at the next start, with the same result.
"""

from __future__ import annotations

import sys
import time

from lakehouse.settings import Settings
from lakehouse.spark.streaming import stop_file

# Land itself waits 60 s for its batch. The machine's graceful shutdown is 120 s at least: vm_stop refuses less.
_WITHIN_S = 75.0
_POLL_S = 0.2


def drain(settings: Settings, within_s: float = _WITHIN_S) -> bool:
    """Leave the stop request and wait until land takes it away, which it does once it has ended; whether it did."""
    request = stop_file(settings, "land")
    request.parent.mkdir(parents=True, exist_ok=True)
    request.touch()
    give_up_at = time.monotonic() + within_s
    while request.exists():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(_POLL_S)
    return True


if __name__ == "__main__":
    if not drain(Settings.from_environment()):
        sys.exit(f"land did not end within {_WITHIN_S:.0f} s: its last batch will be landed again, with the same result")
