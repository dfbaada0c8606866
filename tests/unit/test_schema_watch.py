"""The look every minute: when one begins, and that there is never a second beside it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from lakehouse.source.schema_watch import SchemaWatch

_AT_ONCE = [sys.executable, "-c", ""]
# Ends when the test does, which holds the other end of its input.
_UNTIL_TOLD = [sys.executable, "-c", "import os; os.read(0, 1)"]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that is started, in order."""
    found: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(command: list[str], **_: Any) -> subprocess.Popen[bytes]:
        found.append(start(command, stdin=subprocess.PIPE))
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    return found


def test_a_look_begins_at_once_and_again_only_when_it_is_due(begun: list[subprocess.Popen[bytes]]) -> None:
    for every_s, expected in ((1000, 1), (0, 2)):
        begun.clear()
        watch = SchemaWatch(_AT_ONCE, every_s=every_s)
        watch.look()
        assert begun[0].wait(timeout=20) == 0
        watch.look()
        assert len(begun) == expected


def test_there_is_never_a_second_look_beside_one_that_runs(begun: list[subprocess.Popen[bytes]]) -> None:
    watch = SchemaWatch(_UNTIL_TOLD, every_s=0)
    for _ in range(20):
        watch.look()
    assert len(begun) == 1
    begun[0].communicate(b"x", timeout=20)
    watch.look()
    assert len(begun) == 2, "once it has ended the next may begin"
    begun[1].communicate(b"x", timeout=20)
