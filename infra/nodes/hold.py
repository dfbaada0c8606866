"""Holds, which keep the machines on until a given time: a file on Airflow's machine; an expired hold is ignored."""

from __future__ import annotations

import getpass
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from lakehouse.errors import EbapError
from lakehouse.settings import Settings

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
# Limits the cost of a forgotten hold; for longer, change the working hours.
_LONGEST = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A hold: until when, and who placed it."""

    until: datetime
    by: str


def file(settings: Settings) -> Path:
    """The file that stores the hold."""
    return settings.control_dir / "machines.hold"


def placed(settings: Settings) -> Hold | None:
    """The last hold that was placed and not released, expired or not."""
    try:
        stored = json.loads(file(settings).read_text())
    except FileNotFoundError:
        return None
    return Hold(until=datetime.fromisoformat(stored["until"]), by=stored["by"])


def current(settings: Settings, at: datetime) -> Hold | None:
    """The hold in force at that instant."""
    hold = placed(settings)
    return hold if hold and hold.until > at else None


def place(settings: Settings, duration: str, at: datetime) -> Hold:
    """Hold the machines for a duration such as `90m`, `2h` or `1d`, from `at`; EbapError for anything else."""
    found = re.fullmatch(r"(\d+)([mhd])", duration)
    length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)
    if not timedelta(0) < length <= _LONGEST:
        raise EbapError(f"invalid duration {duration!r}", "write 90m, 2h or 1d, seven days at most")
    hold = Hold(until=at + length, by=getpass.getuser())
    settings.control_dir.mkdir(parents=True, exist_ok=True)
    draft = file(settings).with_suffix(".draft")
    draft.write_text(json.dumps({"until": hold.until.isoformat(timespec="seconds"), "by": hold.by}))
    draft.replace(file(settings))
    return hold


def release(settings: Settings) -> None:
    """End the hold, if there is one."""
    file(settings).unlink(missing_ok=True)
