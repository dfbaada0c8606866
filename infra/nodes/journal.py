"""Journal of what the DAGs did to each machine, one JSON line per event: for giving machines back, and for savings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from lakehouse.settings import Settings

# `starting` and `stopping` are written before the call, `running` and `off` once that state is observed.
STARTING, RUNNING, STOPPING, OFF = "starting", "running", "stopping", "off"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the journal."""

    at: str
    node: str
    event: str
    run: str


def file(settings: Settings) -> Path:
    """The journal's file."""
    return settings.control_dir / "machines.jsonl"


def write(settings: Settings, node: str, event: str, run: str, at: datetime) -> None:
    """Append a line."""
    settings.control_dir.mkdir(parents=True, exist_ok=True)
    with file(settings).open("a") as stream:
        stream.write(json.dumps(asdict(Event(at=at.isoformat(timespec="seconds"), node=node, event=event, run=run))) + "\n")


def read(settings: Settings) -> list[Event]:
    """All events in order."""
    if not file(settings).is_file():
        return []
    return [Event(**json.loads(line)) for line in file(settings).read_text().splitlines()]


def last(settings: Settings, node: str) -> str | None:
    """The latest event of that machine."""
    return next((event.event for event in reversed(read(settings)) if event.node == node), None)


def started_by(settings: Settings, run: str) -> set[str]:
    """The machines that the run started."""
    return {event.node for event in read(settings) if event.run == run and event.event == STARTING}


def hours_off(events: list[Event], until: datetime) -> dict[str, float]:
    """Hours each machine was off because of the schedule: from `off` to the next start, or to `until` if it is still off."""
    off_since: dict[str, datetime] = {}
    total: dict[str, float] = {}
    for event in events:
        at = datetime.fromisoformat(event.at)
        total.setdefault(event.node, 0.0)
        if event.event == OFF:
            off_since.setdefault(event.node, at)
        elif event.node in off_since and event.event in (STARTING, RUNNING):
            total[event.node] += (at - off_since.pop(event.node)).total_seconds() / 3600
    for node, at in off_since.items():
        total[node] += (until - at).total_seconds() / 3600
    return total
