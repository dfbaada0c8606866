"""Whether the machines should run, from working hours and holds alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from infra.nodes import hold as holds
from infra.nodes import hours, journal
from lakehouse.settings import Settings

NO_PROJECT = "EBAP_GCP_PROJECT is empty: everything runs on this machine, and there are no machines to switch"
# vm_start and vm_stop run this often; a missed start or stop is made up for by the next run.
EVERY_MINUTES = 10
# An alert is sent if machines are on for longer than this without need, and again after every further such period.
LATE = timedelta(hours=1)


def reason_to_run(settings: Settings, at: datetime) -> str | None:
    """Why the machines should be on at that instant; None if they should not."""
    closes = hours.of(settings).closes(at)
    return held(settings, at) or (f"these are working hours, until {_text(settings, closes)}" if closes else None)


def held(settings: Settings, at: datetime) -> str | None:
    """Who holds the machines, and until when; None if no hold is in force."""
    found = holds.current(settings, at)
    if found is None:
        return None
    return f"{found.by} holds the machines until {_text(settings, found.until)} (`python -m lakehouse hold off` ends it)"


def why_off(settings: Settings, at: datetime) -> str:
    """Why the machines should be off, and until when."""
    opens = hours.of(settings).opens(at)
    until = f" until {_text(settings, opens)}" if opens else ""
    return f"outside working hours{until}, and no hold is in force"


def overdue(settings: Settings, at: datetime) -> timedelta:
    """How long machines that are on should have been off: since working hours ended, a hold expired, or the last start after that."""
    held_until = [hold.until] if (hold := holds.placed(settings)) and hold.until <= at else []
    started = [datetime.fromisoformat(event.at) for event in journal.read(settings) if event.event == journal.STARTING]
    closed = hours.of(settings).closed_at(at)
    return at - max([*held_until, *started, *([closed] if closed else [])], default=at)


def is_alert_due(settings: Settings, at: datetime) -> bool:
    """Whether another full hour overdue has passed since the last run of vm_stop."""
    late = overdue(settings, at)
    return late >= LATE and late // LATE > (late - timedelta(minutes=EVERY_MINUTES)) // LATE


def _text(settings: Settings, at: datetime) -> str:
    return f"{at.astimezone(hours.of(settings).zone):%a %Y-%m-%d %H:%M %Z}"
