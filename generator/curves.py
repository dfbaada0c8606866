"""Load of the shop by hour of the day and day of the week."""

from __future__ import annotations

from datetime import datetime

# Share of a day's orders by UTC hour, relative to the mean: low at night, higher at noon, highest in the evening.
_HOURS = (0.45, 0.3, 0.2, 0.15, 0.15, 0.2, 0.4, 0.7, 0.95, 1.1, 1.2, 1.3, 1.4, 1.25, 1.15, 1.15, 1.25, 1.4, 1.6, 1.8, 1.85, 1.6, 1.15, 0.75)
# Monday to Sunday: highest on Sunday, lowest on Saturday.
_WEEKDAYS = (1.05, 1.0, 0.95, 0.95, 1.0, 0.9, 1.15)
_HOURS_MEAN = sum(_HOURS) / len(_HOURS)
_WEEKDAYS_MEAN = sum(_WEEKDAYS) / len(_WEEKDAYS)


def busyness(at: datetime) -> float:
    """The load at that instant, interpolated between hours; the mean over a week is 1."""
    part = (at.minute * 60 + at.second) / 3600
    hour = _HOURS[at.hour] * (1 - part) + _HOURS[(at.hour + 1) % 24] * part
    return hour / _HOURS_MEAN * _WEEKDAYS[at.weekday()] / _WEEKDAYS_MEAN
