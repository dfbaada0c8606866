"""Run state of services: process, start time, and restarts since `up`.

One file per service under `<home>/run`, written by the launcher.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from lakehouse import wait
from lakehouse.settings import PROJECT, Settings

_KILL_LIMIT_S = 10


@dataclass(frozen=True)
class Run:
    """The newest run of a service; `starts` counts since the last `up` that started it."""

    pid: int | None = None
    started: str | None = None
    starts: int = 0

    @property
    def started_at(self) -> datetime | None:
        """When this run began."""
        return datetime.fromisoformat(self.started) if self.started else None

    @property
    def restarts(self) -> int:
        """Automatic restarts by the supervisor."""
        return max(self.starts - 1, 0)


def read(settings: Settings, name: str) -> Run:
    """The newest run of that service; an empty one if it never ran."""
    path = _file(settings, name)
    return Run(**json.loads(path.read_text())) if path.is_file() else Run()


def forget(settings: Settings, name: str) -> None:
    """Reset the number of starts, for a start by command."""
    path = _file(settings, name)
    if path.is_file():
        _write(path, Run(pid=read(settings, name).pid))


def begin(settings: Settings, name: str) -> None:
    """Record this process as the service."""
    before = read(settings, name)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    _write(_file(settings, name), Run(pid=os.getpid(), started=now, starts=before.starts + 1))


def leftovers(settings: Settings, name: str) -> list[psutil.Process]:
    """Processes of an earlier run of the service that are still alive.

    Each run is a process group. The id of an ended group can be reused, so a member must also have this checkout as its current folder,
    which the launcher sets.
    """
    group = read(settings, name).pid
    if group is None or group == os.getpid():
        return []
    return [process for process in psutil.process_iter() if _is_member(process, group)]


def end_all(processes: list[psutil.Process], patience_s: float) -> None:
    """Wait some seconds until the processes end, then kill the rest and wait until they have ended."""
    alive = _alive_after(processes, patience_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _alive_after(alive, _KILL_LIMIT_S)


def _alive_after(processes: list[psutil.Process], limit_s: float) -> list[psutil.Process]:
    for _ in wait.looks(limit_s, every_s=0.1):
        alive = [process for process in processes if _is_alive(process)]
        if not alive:
            break
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _is_member(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.pid != os.getpid() and Path(process.cwd()) == PROJECT
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False


def _file(settings: Settings, name: str) -> Path:
    return settings.home_dir / "run" / f"{name}.json"


def _write(path: Path, run: Run) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(run)))
    draft.replace(path)
