"""The platform for end-to-end tests: real processes in a folder and on ports of their own, started once a session."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from infra.local.status import service_states
from lakehouse import tables, wait
from lakehouse.errors import ConflictError
from lakehouse.lake import commits, state
from lakehouse.settings import PROJECT, Settings
from lakehouse.spark import thrift
from tests.chat import Chat, listening

AUDIT = Path(__file__).parent / "audit.sql"


class Platform:
    """A running platform and what tests do to it."""

    def __init__(self, settings: Settings, environ: dict[str, str], chat: Chat | None = None) -> None:
        self.settings = settings
        self.environ = environ
        self.chat = chat or Chat()

    def run(self, *words: str, limit_s: float = 600.0) -> str:
        """Run a Python module of the project (`-m` is implied); a failure shows all it printed."""
        done = subprocess.run(
            [sys.executable, "-m", *words], env=self.environ, cwd=PROJECT, capture_output=True, text=True, timeout=limit_s, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)} exited {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What `make -s status JSON=1` prints."""
        made: dict[str, Any] = json.loads(self.run("infra.local", "status", "--json"))
        return made

    def service(self, name: str) -> dict[str, Any]:
        """One service's entry of status."""
        return next(service for service in service_states(self.settings, {}) if service["name"] == name)

    def kill(self, name: str) -> None:
        """kill -9 the process of a service, and wait until the supervisor has it ready again."""
        # A service may still be coming back from the fault before this one.
        until(lambda: self.service(name)["state"] == "ready", 180, f"{name} to be ready before it is killed")
        before = self.service(name)
        os.kill(before["pid"], signal.SIGKILL)
        until(lambda: self._is_back(name, before["pid"]), 180, f"{name} to be ready again after kill -9")

    def _is_back(self, name: str, pid: int) -> bool:
        now = self.service(name)
        return now["state"] == "ready" and now["pid"] != pid

    def catch_up(self, timeout_s: int = 600) -> str:
        """Wait until all that is committed now is in gold."""
        return self.run("lakehouse", "catch-up", "--timeout", str(timeout_s), limit_s=timeout_s + 120)

    def trade(self, query: str, enough: int) -> None:
        """Let the shop trade until the query's one figure is above `enough`, then wait until all of it is in gold."""
        self.run("generator", "resume")
        try:
            until(lambda: self.sql(query)[0][0] > enough, 300, f"more than {enough} of: {query}")
        finally:
            self.run("generator", "pause")
        self.catch_up()

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query over Thrift."""
        return thrift.query(self.settings, query)[1]

    def newest_change(self, name: str) -> int:
        """The table's newest version that changed rows; the hourly compaction makes others."""
        names, rows = thrift.query(self.settings, f"DESCRIBE HISTORY {name}")
        version, operation = names.index("version"), names.index("operation")
        return max(int(row[version]) for row in rows if row[operation] not in commits.MAINTENANCE_OPERATIONS)

    @contextlib.contextmanager
    def postgres(self) -> Iterator[Any]:
        """A cursor of the shop's owner in a transaction of its own."""
        connection = psycopg2.connect(self.settings.shop_dsn, password=self.settings.secret("shop_owner"), options="-c timezone=UTC")
        try:
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    @contextlib.contextmanager
    def broken_checkpoint(self, table: str) -> Iterator[None]:
        """Within the block the table's checkpoint is beyond bronze, which refine refuses."""
        version = state.store(self.settings).read(tables.source(table)).bronze_version
        self._set_checkpoint(table, 1_000_000)
        try:
            yield
        finally:
            self._set_checkpoint(table, version)

    def _set_checkpoint(self, table: str, version: int) -> None:
        """Set the table's checkpoint to that version of bronze; retried on conflict with a run."""
        store = state.store(self.settings)

        def is_set() -> bool:
            known = store.read(tables.source(table))
            try:
                store.advance(known, replace(known, bronze_version=version))
            except ConflictError:
                return False
            return True

        until(is_set, 60, f"the state of {table} to be set to {version}")


def until(condition: Callable[[], Any], limit_s: float, what: str) -> Any:
    """Poll until the condition holds and return its value; a failure says what was awaited, and what it said last."""
    # A service that is away answers with any error: the limit decides.
    return wait.until(condition, limit_s, what, passing=(Exception,))


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """The whole platform, the shop's generator paused, the audit log written from before the first change that is captured."""
    with running_platform() as made:
        yield made


def running_platform(*steps: str, **variables: str) -> AbstractContextManager[Platform]:
    """A platform of its own with these steps (all for none) and these further variables; see `platform`."""
    return platform_with(steps, variables)


@contextlib.contextmanager
def platform_with(
    steps: tuple[str, ...], variables: dict[str, str], while_starting: Callable[[Platform], AbstractContextManager[None]] | None = None
) -> Iterator[Platform]:
    """The same; `while_starting` is entered once the shop is seeded, before capture starts, and left when everything is up."""
    home = Path(tempfile.mkdtemp(prefix="ebap-e2e-"))
    base = Settings.from_environment()
    for name in ("venv", "jars", "assets"):
        (home / name).symlink_to(base.home_dir / name)
    own = {"EBAP_HOME": str(home), "EBAP_LAKE": ""}
    with listening() as chat:
        environ = {**os.environ, **free_ports(), **own, "EBAP_ALERT_URL": chat.url, **variables}
        yield from _running(Platform(Settings.from_environment(environ), environ, chat), steps, while_starting)


def _running(
    made: Platform, steps: tuple[str, ...], while_starting: Callable[[Platform], AbstractContextManager[None]] | None
) -> Iterator[Platform]:
    home = made.settings.home_dir
    try:
        # After the seed: what capture will read in its snapshot is the log's baseline.
        made.run("infra.local", "up", "shop-seed", limit_s=300)
        with made.postgres() as cursor:
            cursor.execute(AUDIT.read_text())
        with while_starting(made) if while_starting else contextlib.nullcontext():
            made.run("infra.local", "up", *steps, limit_s=900)
        made.run("generator", "pause")
        yield made
    finally:
        made.run("infra.local", "down", limit_s=300)
        kept = os.environ.get("KEEP_LOGS")
        if kept:
            shutil.copytree(home / "logs", kept, dirs_exist_ok=True)
        shutil.rmtree(home, ignore_errors=True)


def free_ports() -> dict[str, str]:
    """A free port for every port setting; all are held at once, so that no two are the same."""
    held = []
    ports = {}
    for entry in fields(Settings):
        if entry.metadata.get("is_port"):
            taken = socket.socket()
            taken.bind(("127.0.0.1", 0))
            held.append(taken)
            ports[f"EBAP_{entry.name.upper()}"] = str(taken.getsockname()[1])
    for taken in held:
        taken.close()
    return ports
