"""Outcome of each one-shot step's last run: starting, completed or failed; one file per step under `<home>/run`."""

from __future__ import annotations

from pathlib import Path

from lakehouse.settings import Settings


def write(settings: Settings, name: str, outcome: str) -> None:
    """Record the outcome."""
    path = _file(settings, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(outcome)


def read(settings: Settings, name: str) -> str:
    """The recorded outcome; `stopped` if the step was never run."""
    path = _file(settings, name)
    return path.read_text() if path.is_file() else "stopped"


def _file(settings: Settings, name: str) -> Path:
    return settings.home_dir / "run" / f"{name}.outcome"
