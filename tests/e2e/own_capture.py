"""Postgres, Kafka and a Connect worker of a test's own: the capture without Spark, on free ports."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infra.install import java
from infra.local import launch
from infra.services import connect, kafka
from lakehouse.settings import Settings
from tests.e2e.conftest import free_ports, until
from tests.e2e.own_postgres import is_ready, running_postgres


@contextmanager
def running_capture(home: Path, logs: Path | None = None) -> Iterator[Settings]:
    """Settings of a source, a broker and a worker that answer; all end with the block. `logs` keeps what they print."""
    base = Settings.from_environment()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "jars").exists():
        (home / "jars").symlink_to(base.home_dir / "jars")
    with running_postgres(home) as source, ExitStack() as stack:
        environ = {**free_ports(), "EBAP_HOME": str(home), "EBAP_POSTGRES_PORT": str(source.postgres_port)}
        settings = Settings.from_environment(environ)
        assert java.link(settings), "there is no Java 17 or 21"
        kafka.prepare(settings)
        stack.enter_context(_process(settings, kafka.command(settings), (logs or home) / "kafka.log"))
        until(lambda: is_ready(kafka.answers, settings), 120, "the broker")
        connect.prepare(settings)
        stack.enter_context(_process(settings, connect.command(settings), (logs or home) / "connect.log"))
        until(lambda: is_ready(connect.answers, settings), 120, "the Connect worker")
        yield settings


@contextmanager
def _process(settings: Settings, command: list[str], log: Path) -> Iterator[None]:
    environ = launch.environment(settings, {})
    with log.open("ab") as out, subprocess.Popen(command, env=environ, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
