"""Types of the declaration: services, which are kept running, and one-shot steps, which run to completion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lakehouse.settings import Settings

Command = Callable[[Settings], list[str]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What service and one-shot share; `after` names the steps that must be ready or completed first.

    `is_wanted` is whether these settings run it. `folders` are those of the home folder that it shares, or that must outlive it; `data`
    is each service's own. `limit_s` is how long it may take to become ready, or to complete, on two cores that others keep busy; what
    dies is noticed earlier.
    """

    name: str
    doc: str
    command: Command
    environment: Callable[[Settings], dict[str, str]] = lambda settings: {}
    after: tuple[str, ...] = ()
    is_wanted: Callable[[Settings], bool] = lambda settings: True
    folders: tuple[str, ...] = ()
    limit_s: int = 180


@dataclass(frozen=True, kw_only=True)
class Service(Step):
    """A process that is kept running.

    `prepare` writes what it needs before each start, and makes what is missing. `probe` raises NotReadyError. `memory_mb` is its
    share of the platform's budget: heap, direct memory and the runtime's own. `host` is the setting that holds the name under which
    other services reach it; `published` are the settings of the ports that people and their tools open. `stop_request` is a file that
    asks it to end by itself, with 0; `stop_signal` tells it; after `stop_s` its group is killed.
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


def python(*words: str) -> Command:
    """A command of the platform's own Python."""
    return lambda settings: [str(settings.home_dir / "venv" / "main" / "bin" / "python"), *words]
