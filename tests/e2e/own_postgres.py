"""A Postgres of a test's own, on a free port, with the shop's databases and roles."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2

from infra.services import passwords, postgres
from lakehouse.settings import Settings


@contextmanager
def running_postgres(home: Path, limit_s: float = 60.0) -> Iterator[Settings]:
    """Settings of a server that answers; it ends with the block."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    settings = Settings(home=str(home), postgres_port=port)
    passwords.generate(settings)
    postgres.prepare(settings)
    with subprocess.Popen(postgres.command(settings), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(settings, limit_s)
            postgres.create_databases(settings)
            yield settings
        finally:
            server.send_signal(signal.SIGINT)  # Postgres' fast shutdown: SIGTERM would wait for clients that a test left connected


def _wait_for(settings: Settings, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            postgres.connect(settings).close()
            return
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline, f"Postgres does not answer after {limit_s} s"
            time.sleep(0.1)  # between two looks
