"""The platform in containers: built, started without Metabase up to its end card, killed, restarted, removed.

Requires a Docker engine with Compose and BuildKit, otherwise skipped. Uses its own containers, volumes and ports.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra.docker import compose
from infra.services.step import Service
from lakehouse.settings import PROJECT, Settings
from lakehouse.spark import thrift
from tests.e2e.conftest import free_ports, until

# The first build installs everything.
_START_S = 1800


def _docker(*args: str, environ: dict[str, str] | None = None, limit_s: float = 120) -> str:
    done = subprocess.run(["docker", *args], cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=limit_s)
    assert done.returncode == 0, f"docker {' '.join(args)} exited with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def _missing() -> str | None:
    """Why this machine cannot run containers; None if it can."""
    for args in (("info",), ("compose", "version"), ("buildx", "version")):
        try:
            _docker(*args, limit_s=20)
        except (OSError, subprocess.TimeoutExpired, AssertionError):
            return f"`docker {' '.join(args)}` fails: there is no Docker engine with Compose and BuildKit"
    return None


pytestmark = [pytest.mark.compose, pytest.mark.timeout(3600)]


class Containers:
    """The Compose project of this test."""

    def __init__(self, project: str) -> None:
        self.environ = {**{name: value for name, value in os.environ.items() if not name.startswith("EBAP_")}, **free_ports()}
        self.environ["EBAP_BACKFILL_DAYS"] = "3"
        self.settings = Settings.from_environment({name: value for name, value in self.environ.items() if name.startswith("EBAP_")})
        self._project = project

    def compose(self, *args: str, limit_s: float = 120) -> str:
        """Run a Compose command."""
        return _docker("compose", "-p", self._project, *args, environ=self.environ, limit_s=limit_s)

    def up_to_the_card(self) -> str:
        """Start everything but Metabase, and return the log of the demo's container."""
        try:
            self.compose("up", "-d", "--build", "demo", limit_s=_START_S)
            until(lambda: self.states()["demo"]["State"] == "exited", 900, "the demo to end")
        except BaseException:
            print(self.compose("ps", "-a"), self.compose("logs", "--no-color", "--tail", "30"))
            raise
        log = self.compose("logs", "--no-color", "--no-log-prefix", "demo")
        assert self.states()["demo"]["ExitCode"] == 0, log
        return log

    def states(self) -> dict[str, dict[str, Any]]:
        """The containers in the output of `compose ps`, by service."""
        rows = [json.loads(line) for line in self.compose("ps", "-a", "--format", "json").splitlines()]
        return {row["Service"]: row for row in rows}

    def inspect(self, name: str) -> dict[str, Any]:
        """The output of `docker inspect` for a container."""
        found: list[dict[str, Any]] = json.loads(_docker("inspect", self.states()[name]["ID"]))
        return found[0]

    def is_healthy(self, name: str) -> bool:
        """Whether the container's health check passes."""
        return self.inspect(name)["State"]["Health"]["Status"] == "healthy"

    def kill(self, name: str) -> None:
        """kill -9 the service's process, and wait until its container is healthy again."""
        before = self.inspect(name)
        assert self.is_healthy(name), name
        # `docker kill` counts as a manual stop, and a process cannot kill the init process of its own namespace.
        killer = ["run", "--rm", "--privileged", "--pid=host", "--user=0", compose.IMAGE]
        _docker(*killer, "python", "-c", f"import os; os.kill({before['State']['Pid']}, 9)")
        until(lambda: self.inspect(name)["RestartCount"] > before["RestartCount"], 60, f"{name} to be started again")
        until(partial(self.is_healthy, name), 400, f"{name} to be healthy after kill -9")

    def orders(self) -> int:
        """The number of order changes in bronze."""
        return int(thrift.query(self.settings, "SELECT count(*) FROM bronze.changes WHERE source_table = 'orders'")[1][0][0])


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    missing = _missing()
    if missing:
        pytest.skip(missing)
    project = Containers(f"ebap-e2e-{os.getpid()}")
    try:
        yield project
    finally:
        kept = os.environ.get("KEEP_LOGS")
        if kept:
            (Path(kept) / "compose.log").write_text(project.compose("logs", "--no-color"))
        project.compose("down", "-v", "--remove-orphans", limit_s=300)


def test_the_stack_reaches_its_end_card_recovers_from_kills_and_restarts(containers: Containers) -> None:
    began = time.monotonic()
    card = containers.up_to_the_card()
    print(f"end card after {time.monotonic() - began:.0f} s\n{card}")
    assert "EBAP runs" in card
    assert f"http://127.0.0.1:{containers.settings.boards_port}" in card
    _all_are_well(containers)
    _memory(containers)
    for name in ("kafka", "spark", "postgres"):
        before = containers.orders()
        containers.kill(name)
        until(partial(_has_more, containers, before), 300, f"new orders in bronze after {name} was killed")
    print(containers.compose("exec", "-T", "spark", "python", "-m", "lakehouse", "catch-up", "--timeout", "600", limit_s=700))
    # All one-shots are run again on the running platform.
    assert "EBAP runs" in containers.up_to_the_card()
    _all_are_well(containers)


def _has_more(containers: Containers, before: int) -> bool:
    return containers.orders() > before


def _all_are_well(containers: Containers) -> None:
    """Services are healthy, one-shots exited with 0, no container runs as root, and ports are bound to localhost."""
    states = containers.states()
    declared = {step.name: step for step in compose.platform() if not step.name.startswith("metabase")}
    assert set(states) == set(declared)
    for name, step in declared.items():
        if isinstance(step, Service):
            until(partial(containers.is_healthy, name), 120, f"{name} to be healthy")
        else:
            assert (states[name]["State"], states[name]["ExitCode"]) == ("exited", 0), name
        seen = containers.inspect(name)
        assert seen["Config"]["User"] == "10001", name
        bound = [one["HostIp"] for ports in (seen["HostConfig"]["PortBindings"] or {}).values() for one in ports]
        assert set(bound) <= {"127.0.0.1"}, name


def _memory(containers: Containers) -> None:
    print(_docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"))
    killed = [name for name in containers.states() if containers.inspect(name)["State"]["OOMKilled"]]
    assert killed == []
