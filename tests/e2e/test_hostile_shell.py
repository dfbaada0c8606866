"""Postgres, Kafka and a Connect worker, and commands about them, from a shell that was set up for other work and has a proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from infra.local import launch
from lakehouse import process
from lakehouse.settings import PROJECT
from tests import hostile
from tests.e2e.own_capture import running_capture

pytestmark = pytest.mark.e2e

COMMANDS = (
    "generator schema",
    "generator seed",
    "lakehouse topics",
    *(f"infra.services.probe {name}" for name in ("postgres", "kafka", "connect")),
)


def test_its_set_up_reaches_no_part_and_no_call_of_theirs_its_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = hostile.Listener()
    shell = {**os.environ, **hostile.VARIABLES, **proxy.as_proxy(), "TZ": "Asia/Kolkata", "LC_ALL": "C"}
    monkeypatch.setattr(process, "inherited", partial(process.inherited, environ=shell))
    with hostile.listening(proxy), running_capture(tmp_path / "a b") as settings:
        for command in COMMANDS:
            environ = {**shell, **launch.variables(settings)}
            done = subprocess.run(
                [sys.executable, "-m", *command.split()], cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    assert proxy.calls == 0
