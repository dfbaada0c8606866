"""Counts of records that wait in quarantine, by table and reason, and the limit for an alert.

A `conflicting_duplicate` is not counted and never replayed: the table has the other record of its identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lakehouse import platform_tables
from lakehouse.errors import EbapError

if TYPE_CHECKING:
    from datetime import datetime

    from lakehouse.lake.lake import Lake

_QUARANTINE = platform_tables.QUARANTINE.full_name
_FINAL = "conflicting_duplicate"
CAN_WAIT = f"reason <> '{_FINAL}'"
REASONS = tuple(reason for reason in platform_tables.REASONS if reason != _FINAL)


def counts(lake: Lake) -> list[dict[str, Any]]:
    """Waiting records by table and reason, and the oldest (UTC): source_table, reason, waiting, since."""
    rows = lake.read(platform_tables.QUARANTINE, ("source_table", "reason", "first_seen_at", "replayed_at")).to_pylist()
    found: dict[tuple[str, str], list[datetime]] = {}
    for row in rows:
        if row["replayed_at"] is None and row["reason"] != _FINAL:
            found.setdefault((row["source_table"], row["reason"]), []).append(row["first_seen_at"])
    return [
        {"source_table": name, "reason": reason, "waiting": len(seen), "since": min(seen)} for (name, reason), seen in sorted(found.items())
    ]


def check(lake: Lake) -> int:
    """The number of waiting records; EbapError if a table has more than EBAP_QUARANTINE_ALERT."""
    found = counts(lake)
    if faults := too_many(found, lake.settings.quarantine_alert):
        raise EbapError("; ".join(faults))
    return sum(row["waiting"] for row in found)


def too_many(counts: Iterable[Mapping[str, Any]], limit: int) -> list[str]:
    """A line for each table with more than `limit` waiting records."""
    of_table: dict[str, dict[str, int]] = {}
    for row in counts:
        of_table.setdefault(row["source_table"], {})[row["reason"]] = row["waiting"]
    return [
        f"{sum(reasons.values())} records of {name} wait in {_QUARANTINE}, more than EBAP_QUARANTINE_ALERT={limit} "
        f"({', '.join(f'{count} {reason}' for reason, count in reasons.items())}); after the fix, `python -m lakehouse replay {name}`"
        for name, reasons in of_table.items()
        if sum(reasons.values()) > limit
    ]
