"""Airflow's scheduler, with two additions made before it forks its workers.

The workers die with it: after a kill -9 they would stay for good, each waiting on a queue nobody writes to, and a task would run on
beside its own second try. And the Spark client is loaded once, here, so that a task neither spends 1.7 CPU seconds on importing it
nor 100 MB on a copy. To be started by `python -m infra.airflow scheduler`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from infra.airflow import providers

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _die_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Run `airflow scheduler` in this process."""
    import pyspark.sql.connect.session  # noqa: F401 (only to have it loaded)

    from airflow.__main__ import main as airflow_main

    providers.load()
    os.register_at_fork(after_in_child=_die_with_the_parent)
    # No log server: it listens on every address, and the page reads the files itself.
    sys.argv = ["airflow", *arguments, "--skip-serve-logs"]
    airflow_main()


if __name__ == "__main__":
    main(sys.argv[1:])
