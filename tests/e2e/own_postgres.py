"""A Postgres of a test's own, on a free port, with the shop's databases and roles."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from infra.local import launch
from infra.services import passwords, postgres
from lakehouse import wait
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings


@contextmanager
def running_postgres(home: Path, limit_s: float = 60.0) -> Iterator[Settings]:
    """Settings of a server that answers; it ends with the block."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    settings = Settings(home=str(home), postgres_port=port)
    passwords.generate(settings)
    postgres.prepare(settings)
    environ = launch.environment(settings, {})
    # A source may prepare transactions.
    command = [*postgres.command(settings), "-c", "max_prepared_transactions=4"]
    with subprocess.Popen(command, cwd="/", env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait.until(lambda: is_ready(postgres.answers, settings), limit_s, "Postgres to answer", every_s=0.1)
            postgres.create_databases(settings)
            yield settings
        finally:
            server.send_signal(signal.SIGINT)  # Postgres' fast shutdown: SIGTERM would wait for clients that a test left connected


def is_ready(probe: Callable[[Settings], None], settings: Settings) -> bool:
    """Whether the service that the probe is of answers."""
    try:
        probe(settings)
    except NotReadyError:
        return False
    return True
