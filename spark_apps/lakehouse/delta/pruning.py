"""File pruning: which files may hold matching rows, by partition values and statistics.

A filter maps columns to conditions that must all hold: a list of values (NULL in it matches NULL) or `Between`. Values have the form of
rows: TIMESTAMP int microseconds (or an aware datetime), DATE int days (or a date), DECIMAL Decimal.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from lakehouse.delta.actions import File
from lakehouse.delta.schema import Field

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = EPOCH.date().toordinal()
_WHOLE = ("TINYINT", "SMALLINT", "INT", "BIGINT")
# Microseconds that Spark truncates from a timestamp's maximum.
_CUT_US = 999


@dataclass(frozen=True, kw_only=True)
class Between:
    """Values from `low` to `high`, both inclusive; None leaves a side open. NULL never matches."""

    low: Any = None
    high: Any = None


Filter = Mapping[str, Collection[Any] | Between]


def plain(value: Any) -> Any:
    """A value in the form in which it is compared: timestamps in microseconds, dates in days."""
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(microseconds=1)
    return value.toordinal() - _EPOCH_DAY if isinstance(value, date) else value


def partition_value(field: Field, text: str | None) -> Any:
    """A serialized partition value in the form of rows. An empty one is NULL."""
    if text is None or text == "":
        return None
    if field.type in _WHOLE:
        return int(text)
    if field.type == "BOOLEAN":
        return text == "true"
    if field.type == "DATE":
        return plain(date.fromisoformat(text))
    if field.type == "TIMESTAMP":
        at = datetime.fromisoformat(text)
        return plain(at if at.tzinfo else at.replace(tzinfo=UTC))
    if field.type.startswith("DECIMAL"):
        return Decimal(text)
    return float(text) if field.type in ("DOUBLE", "FLOAT") else text


class Pruner:
    """Prunes files by one filter."""

    def __init__(self, fields: Mapping[str, Field], partition_columns: Collection[str], where: Filter) -> None:
        unknown = sorted(set(where) - set(fields))
        if unknown:
            raise ValueError(f"there is no column {', '.join(unknown)}: the table has {', '.join(fields)}")
        self._by_partition = [(fields[name], _Wanted(wanted)) for name, wanted in where.items() if name in partition_columns]
        self._by_statistics = [(fields[name], _Wanted(wanted)) for name, wanted in where.items() if name not in partition_columns]

    def may_match(self, file: File) -> bool:
        """Whether the file may hold a matching row."""
        for field, wanted in self._by_partition:
            if not wanted.has(partition_value(field, file.partition.get(field.name))):
                return False
        if not self._by_statistics or not file.stats:
            return True
        least, greatest = file.statistics.get("minValues") or {}, file.statistics.get("maxValues") or {}
        nulls = file.statistics.get("nullCount") or {}
        for field, wanted in self._by_statistics:
            if field.name in nulls and nulls[field.name] == file.rows and not wanted.has_null:
                return False
            low, high = _bound(field, least.get(field.name)), _bound(field, greatest.get(field.name), is_greatest=True)
            if low is not None and high is not None and not wanted.has_null and not wanted.meets(low, high):
                return False
        return True


class _Wanted:
    def __init__(self, wanted: Collection[Any] | Between) -> None:
        self.low = self.high = None
        self.has_null, self.values = False, None
        if isinstance(wanted, Between):
            self.low, self.high = plain(wanted.low), plain(wanted.high)
        else:
            self.has_null = None in wanted
            self.values = sorted({plain(value) for value in wanted if value is not None})

    def has(self, value: Any) -> bool:
        if value is None:
            return self.has_null
        return self.meets(value, value)

    def meets(self, low: Any, high: Any) -> bool:
        """Whether the condition matches any value from `low` to `high`."""
        if self.values is None:
            return not ((self.low is not None and high < self.low) or (self.high is not None and low > self.high))
        at = bisect.bisect_left(self.values, low)
        return at < len(self.values) and self.values[at] <= high


def _bound(field: Field, value: Any, is_greatest: bool = False) -> Any:
    """A bound in a form that compares with a row's value; None if it cannot be trusted, as with floating point."""
    if value is None:
        return None
    if field.type in _WHOLE:
        return value if isinstance(value, int) else None
    if field.type.startswith("DECIMAL"):
        return value if isinstance(value, int | Decimal) else None
    if field.type == "STRING":
        return value
    try:
        if field.type == "DATE":
            return plain(date.fromisoformat(value))
        if field.type == "TIMESTAMP":
            at = datetime.fromisoformat(value)
            return plain(at) + (_CUT_US if is_greatest else 0) if at.tzinfo else None
    except (ValueError, TypeError):
        return None  # a year out of Python's range
    return None
