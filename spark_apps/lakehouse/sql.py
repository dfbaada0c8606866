"""SQL conditions on the slices (days) of a gold table."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

Slice = date | None  # None is the slice of rows without a day


def is_within(expression: str, slices: Collection[Slice]) -> str:
    """SQL condition that the day `expression` is one of the slices; false for no slices."""
    days = ", ".join(sorted(f"DATE'{day.isoformat()}'" for day in slices if day is not None))
    terms = [f"{expression} IN ({days})"] if days else []
    terms += [f"{expression} IS NULL"] if None in slices else []
    return f"({' OR '.join(terms)})" if terms else "false"
