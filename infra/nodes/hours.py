"""Working hours by day, hour and time zone: pure functions of an instant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lakehouse.errors import SettingsError
from lakehouse.settings import Settings

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Two machines and their services start one after the other, on two cores each.
_LEAD = timedelta(minutes=15)
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True, kw_only=True)
class WorkingHours:
    """The working hours; machines are started 15 minutes before."""

    days: frozenset[int]
    start: time
    length: timedelta
    zone: ZoneInfo

    def closes(self, at: datetime) -> datetime | None:
        """When the window that contains that instant ends; None outside of one."""
        ends = [end for start, end in self._windows(at) if start <= at < end]
        return max(ends, default=None)

    def closed_at(self, at: datetime) -> datetime | None:
        """When the last window before that instant ended, within the last eight days."""
        return max((end for _, end in self._windows(at) if end <= at), default=None)

    def opens(self, at: datetime) -> datetime | None:
        """When the next window begins; None if there is none within the next eight days."""
        return min((start for start, _ in self._windows(at) if start > at), default=None)

    def hours_a_month(self) -> float:
        """Hours in which machines run in an average month, the lead included."""
        seconds = min((self.length + _LEAD).total_seconds(), 86_400)
        return len(self.days) * seconds / 3600 * 365 / 7 / 12

    def _windows(self, at: datetime) -> list[tuple[datetime, datetime]]:
        today = at.astimezone(self.zone).date()
        dates = [today + timedelta(days=offset) for offset in range(-8, 9)]
        return [self._window(day) for day in dates if day.weekday() in self.days]

    def _window(self, day: date) -> tuple[datetime, datetime]:
        # In wall time: on a day when the clocks change the window is an hour longer or shorter.
        start = datetime.combine(day, self.start)
        ends = start + self.length
        return self._instant(start - _LEAD), self._instant(ends)

    def _instant(self, wall: datetime) -> datetime:
        # In UTC, because Python compares two datetimes of the same zone by wall clock.
        return wall.replace(tzinfo=self.zone).astimezone(UTC)


def of(settings: Settings) -> WorkingHours:
    """The working hours of these settings; SettingsError names the invalid one."""
    found = _HOURS.fullmatch(settings.work_hours.strip())
    try:
        if not found:
            raise ValueError
        start, end = (timedelta(hours=int(found[i]), minutes=int(found[i + 1])) for i in (1, 3))
        if start >= timedelta(days=1) or end > timedelta(days=1):
            raise ValueError
        length = end - start if end > start else end - start + timedelta(days=1)
        begins = (datetime.min + start).time()
    except ValueError:
        raise SettingsError(f"EBAP_WORK_HOURS is {settings.work_hours!r}", "write two times, such as 08:00-18:00 or 00:00-24:00") from None
    try:
        zone = ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise SettingsError(f"EBAP_TIME_ZONE is {settings.time_zone!r}", "write a name such as UTC or Europe/Berlin") from None
    return WorkingHours(days=_days(settings.work_days), start=begins, length=length, zone=zone)


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    try:
        for part in filter(None, (part.strip().lower() for part in text.split(","))):
            first, _, last = part.partition("-")
            begin, end = _DAYS.index(first), _DAYS.index(last or first)
            days |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
        if not days:
            raise ValueError
    except ValueError:
        raise SettingsError(f"EBAP_WORK_DAYS is {text!r}", "write days such as mon-fri or mon,wed,sat") from None
    return frozenset(days)
