"""Comparison of silver with a repeatable-read snapshot of the source, while both change.

The snapshot is taken first; then the pipeline is waited for, so that every change the snapshot has seen is in silver; then both sides
are compared as of the snapshot, what came later left out. Keys whose newer change waits in quarantine are named, not counted as
faults.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.health import catch_up
from lakehouse.lake import maintenance
from lakehouse.reconcile import checksum_diff
from lakehouse.reconcile.checksum_diff import Differences, Key, Part, Row
from lakehouse.reconcile.silver_side import SilverTable
from lakehouse.reconcile.source_side import Snapshot, SourceTable, taken
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHOWN_KEYS = 20


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One table against the snapshot. `found` holds the rows that differ, `columns` the names of those that do in the first of them."""

    table: Table
    taken_at: datetime
    found: Differences
    blocked: tuple[Key, ...]
    took_s: float
    key_order: tuple[str, ...]
    columns: dict[Key, list[str]] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """What a run reports: the table was compared."""
        return True

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs but what is blocked."""
        return not (self.found.missing or self.found.ghosts or self.found.different)

    def __str__(self) -> str:
        moment = self.taken_at.isoformat(timespec="seconds")
        about = f"{self.table.full_name} as of {moment}: {self.found.rows} rows compared in {self.took_s:.1f} s"
        lines = [f"{about}, {'equal' if self.is_equal else 'not equal'}"]
        for what, keys in self._named().items():
            if keys:
                shown = ", ".join(self._told(key) for key in keys[:SHOWN_KEYS])
                more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
                lines.append(f"  {len(keys)} {what}: {shown}{more}")
        if not self.found.is_whole:
            lines.append("  more than that differs, and was not looked at")
        return "\n".join(lines)

    def record(self, known: maintenance.Reconciliation | None) -> maintenance.Reconciliation:
        """The table's row of `silver.reconciliations`; `known` is the one before."""
        before = known.verified_through if known else None
        detail = {what: [self._told(key) for key in keys[:SHOWN_KEYS]] for what, keys in self._named().items() if keys}
        return maintenance.Reconciliation(
            source_table=self.table.name,
            verified_through=self.taken_at if self.is_equal else before,
            checked_at=self.taken_at,
            rows=self.found.rows,
            missing=len(self.found.missing),
            ghosts=len(self.found.ghosts),
            different=len(self.found.different),
            blocked=len(self.blocked),
            took_s=self.took_s,
            detail=json.dumps(detail, ensure_ascii=False),
        )

    def _named(self) -> dict[str, list[Key]]:
        found = self.found
        return {
            "missing in silver": sorted(found.missing),
            "ghosts, not in the source": sorted(found.ghosts),
            "different": sorted(found.different),
            "blocked by quarantine": sorted(self.blocked),
        }

    def _told(self, key: Key) -> str:
        named = ", ".join(f"{name}={text}" for name, text in zip(self.table.key, key, strict=True))
        return f"{named} ({', '.join(self.columns[key])})" if key in self.columns else named


def compare(spark: SparkSession, settings: Settings, names: Iterable[str], timeout_s: float) -> list[Outcome]:
    """Compare these source tables and record the result of each; raises `NotReadyError` where the pipeline does not come so far."""
    declared = [tables.source(name) for name in names]
    with taken(settings) as (snapshot, cursor):
        passage = catch_up.CatchUp(settings=settings, give_up_at=time.monotonic() + timeout_s)
        catch_up.reach_silver(passage, [table.name for table in declared])
        outcomes = [compared(spark, settings, table, snapshot, cursor) for table in declared]
    for outcome in outcomes:
        maintenance.write_reconciliation(spark, outcome.record(maintenance.reconciliation(spark, outcome.table.name)))
    return outcomes


def compared(spark: SparkSession, settings: Settings, table: Table, snapshot: Snapshot, cursor: Any) -> Outcome:
    """Compare one table, of which silver has all that the snapshot has seen; `cursor` is in the snapshot's transaction."""
    began = time.monotonic()
    source = SourceTable(cursor, settings.source_schema, table)
    silver = SilverTable(spark, settings, table, snapshot, source.types)
    found = checksum_diff.differences(source, silver, checksum_diff.first_shift(*source.bounds()))
    blocked = _take_blocked(found, silver)
    shown = [row for _, row in sorted(found.different.items())[:SHOWN_KEYS]]
    columns = _differing_columns(source, silver, shown) if shown else {}
    left_out = [column.name for column in table.columns if column not in source.columns]
    if left_out:
        print(f"{table.full_name}: not compared, for the source has them no more or not as text: {', '.join(left_out)}", file=sys.stderr)
    return Outcome(
        table=table,
        taken_at=snapshot.taken_at,
        found=found,
        blocked=blocked,
        took_s=round(time.monotonic() - began, 3),
        key_order=tuple(source.key),
        columns={key: names for key, names in columns.items() if key in found.different},
    )


def _differing_columns(source: SourceTable, silver: SilverTable, rows: list[Row]) -> dict[Key, list[str]]:
    part = Part(0, tuple(row.place for row in rows))
    theirs, ours = source.texts(part), silver.texts(part)
    return {key: [name for name in ours[key] if ours[key][name] != theirs[key][name]] for key in ours.keys() & theirs.keys()}


def _take_blocked(found: Differences, silver: SilverTable) -> tuple[Key, ...]:
    """Take the keys whose newer change waits in quarantine out of what was found."""
    unlike = found.missing | found.ghosts | found.different
    waiting = {key: places for key, places in silver.waiting().items() if key in unlike} if unlike else {}
    # A missing key has no row, but may have had one: a change that waits behind its delete blocks nothing.
    gone = silver.newest(Part(0, tuple(unlike[key].place for key in waiting))) if waiting else {}
    blocked = {key for key, row in unlike.items() if row.is_blocked}
    blocked |= {key for key, places in waiting.items() if key not in gone or any(_is_newer(place, gone[key]) for place in places)}
    for rows in (found.missing, found.ghosts, found.different):
        for key in blocked & rows.keys():
            del rows[key]
    return tuple(sorted(blocked))


def _is_newer(waiting: tuple[int | None, int | None, int], row: Row) -> bool:
    """Whether a record in quarantine comes after the change; its offset speaks only where its position cannot be read."""
    epoch, lsn, offset = waiting
    if lsn is None or epoch is None:
        return offset > (row.offset or -1)
    return (epoch, lsn) > (row.epoch or 0, row.lsn or 0)
