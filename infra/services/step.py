"""Types of steps: services, which are kept running, and one-shot steps, which run to completion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lakehouse.settings import Settings

Command = Callable[[Settings], list[str]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Common part of services and one-shot steps; `after` names the steps that must be ready or completed first.

    `is_live`: it is part of the live half, and runs only with it. `is_wanted`: whether these settings run it otherwise. `folders`: folders
    of the home folder that are shared or must be persistent; `data` is separate for each service. `limit_s`: timeout until it is ready or
    completed, on two busy cores; a process that dies fails earlier.
    """

    name: str
    doc: str
    command: Command
    environment: Callable[[Settings], dict[str, str]] = lambda settings: {}
    after: tuple[str, ...] = ()
    is_live: bool = False
    is_wanted: Callable[[Settings], bool] = lambda settings: True
    folders: tuple[str, ...] = ()
    limit_s: int = 180


@dataclass(frozen=True, kw_only=True)
class Service(Step):
    """A process that is kept running.

    `prepare` runs before each start: it writes configuration and creates what is missing. `probe` raises NotReadyError. `memory_mb` is
    its share of the memory budget: heap, direct memory and the runtime's own. `host` is the setting with the name that other services
    connect to; `published` are the settings of ports for users. `stop_request` is a file that makes it exit with 0; `stop_signal` is sent
    next; after `stop_s` its process group is killed.
    """

    probe: Callable[[Settings], None]
    memory_mb: Callable[[Settings], int]
    url: Callable[[Settings], str]
    prepare: Callable[[Settings], None] = lambda settings: None
    host: str | None = None
    published: tuple[str, ...] = ()
    restart: Literal["always", "on-failure"] = "always"
    stop_request: Callable[[Settings], Path] | None = None
    stop_signal: str = "TERM"
    stop_s: int = 30


@dataclass(frozen=True, kw_only=True)
class OneShot(Step):
    """A command that is run at each `up`, does only what is missing, and ends."""


def python(*args: str) -> Command:
    """A command of the platform's own Python."""
    return lambda settings: [str(settings.home_dir / "venv" / "main" / "bin" / "python"), *args]
