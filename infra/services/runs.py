"""Run state of services: process, start time, and restarts since `up`.

One small file a service under `<home>/run`, written by the launcher, so that it is true whoever asks.
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

_GONE_LIMIT_S = 10


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
        """Starts the supervisor made by itself."""
        return max(self.starts - 1, 0)


def read(settings: Settings, name: str) -> Run:
    """The newest run of that service; an empty one where it never ran."""
    path = _file(settings, name)
    return Run(**json.loads(path.read_text())) if path.is_file() else Run()


def forget(settings: Settings, name: str) -> None:
    """Count from zero again: the next start is asked for by a person."""
    path = _file(settings, name)
    if path.is_file():
        _write(path, Run(pid=read(settings, name).pid))


def begin(settings: Settings, name: str) -> None:
    """Record that this process is now the service."""
    before = read(settings, name)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    _write(_file(settings, name), Run(pid=os.getpid(), started=now, starts=before.starts + 1))


def leftovers(settings: Settings, name: str) -> list[psutil.Process]:
    """Processes that an earlier run of the service started and left behind.

    Each run is a process group of its own. The number of a group that is gone can be given out anew, so a member must also
    work in this checkout, where the launcher put it.
    """
    group = read(settings, name).pid
    if group is None or group == os.getpid():
        return []
    return [process for process in psutil.process_iter() if _is_member(process, group)]


def end_all(processes: list[psutil.Process], patience_s: float) -> None:
    """Give the processes some seconds to end by themselves, then kill those that are left and see them gone."""
    alive = _alive_after(processes, patience_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _alive_after(alive, _GONE_LIMIT_S)


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
