"""What waits in quarantine: how many records of which table, for which reason, and when that is too many.

A `conflicting_duplicate` waits for nothing, because the table holds its twin: it is never counted here and never replayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lakehouse import ledger
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_QUARANTINE = ledger.QUARANTINE.full_name
_FINAL = "conflicting_duplicate"
CAN_WAIT = f"reason <> '{_FINAL}'"
REASONS = tuple(reason for reason in ledger.REASONS if reason != _FINAL)

COUNTS = (
    f"SELECT source_table, reason, count(*) AS waiting, min(first_seen_at) AS since FROM {_QUARANTINE} "
    f"WHERE replayed_at IS NULL AND {CAN_WAIT} GROUP BY source_table, reason ORDER BY source_table, reason"
)


class WaitingError(RuntimeError):
    """More records wait than the settings allow; the message names tables, reasons, counts and the command."""


def check(spark: SparkSession, settings: Settings) -> int:
    """How many records wait; WaitingError where more of one table do than EBAP_QUARANTINE_ALERT."""
    found = [row.asDict() for row in spark.sql(COUNTS).collect()]
    if faults := too_many(found, settings.quarantine_alert):
        raise WaitingError("; ".join(faults))
    return sum(row["waiting"] for row in found)


def too_many(counts: Iterable[Mapping[str, Any]], limit: int) -> list[str]:
    """A line for each table of which more than `limit` records wait."""
    of_table: dict[str, dict[str, int]] = {}
    for row in counts:
        of_table.setdefault(row["source_table"], {})[row["reason"]] = row["waiting"]
    return [
        f"{sum(reasons.values())} records of {name} wait in {_QUARANTINE}, more than EBAP_QUARANTINE_ALERT={limit} "
        f"({', '.join(f'{count} {reason}' for reason, count in reasons.items())}); after the fix, `python -m lakehouse replay {name}`"
        for name, reasons in of_table.items()
        if sum(reasons.values()) > limit
    ]
