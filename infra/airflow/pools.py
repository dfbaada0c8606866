"""Airflow pools that limit concurrency across runs and DAGs; their names are defined only here."""

from __future__ import annotations

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.settings import Settings

SILVER = "silver"
PLATFORM = "platform"
RECONCILE = "reconcile"
MACHINES = "machines"


def gold(table: Table) -> str:
    """The pool of that gold table; its one slot admits one writer across DAGs, runs and backfills."""
    return f"gold_{table.name}"


def slots(settings: Settings) -> dict[str, tuple[int, str]]:
    """Every pool by name, with its slots and description."""
    pools = {
        SILVER: (settings.silver_slots, "Silver tables refined at the same time."),
        MACHINES: (1, "Machines are switched one at a time: a start waits for a stop to end, and vice versa."),
        PLATFORM: (1, "Compaction of bronze and of the platform's own tables."),
        RECONCILE: (1, "Tables are compared with the source one at a time."),
    }
    for table in tables.GOLD:
        if not table.is_view:
            pools[gold(table)] = (1, f"One writer of {table.full_name} at a time.")
    return pools
