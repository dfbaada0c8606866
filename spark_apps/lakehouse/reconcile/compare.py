"""Comparison of silver with a repeatable-read snapshot of the source, while both change.

The snapshot is taken first; a catch-up then makes sure that silver has every change visible in the snapshot; then both sides are
compared as of the snapshot, without later changes. Keys whose newer change waits in quarantine are listed, not counted as differences.
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
    """Result for one table. `found` holds the rows that differ, `columns` the names of the differing columns of the first of them."""

    table: Table
    taken_at: datetime
    found: Differences
    blocked: tuple[Key, ...]
    took_s: float
    key_order: tuple[str, ...]
    columns: dict[Key, list[str]] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """True: every run compares the table and records the result."""
        return True

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs except blocked keys."""
        return not (self.found.missing or self.found.missing_at_source or self.found.different)

    def __str__(self) -> str:
        moment = self.taken_at.isoformat(timespec="seconds")
        about = f"{self.table.full_name} as of {moment}: {self.found.rows} rows compared in {self.took_s:.1f} s"
        lines = [f"{about}, {'equal' if self.is_equal else 'not equal'}"]
        for what, keys in self._named().items():
            if keys:
                shown = ", ".join(self._text(key) for key in keys[:SHOWN_KEYS])
                more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
                lines.append(f"  {len(keys)} {what}: {shown}{more}")
        if not self.found.is_whole:
            lines.append("  there are more differences, which were not compared")
        return "\n".join(lines)

    def record(self, known: maintenance.Reconciliation | None) -> maintenance.Reconciliation:
        """The table's row of `silver.reconciliations`; `known` is the previous one."""
        before = known.verified_through if known else None
        detail = {what: [self._text(key) for key in keys[:SHOWN_KEYS]] for what, keys in self._named().items() if keys}
        return maintenance.Reconciliation(
            source_table=self.table.name,
            verified_through=self.taken_at if self.is_equal else before,
            checked_at=self.taken_at,
            rows=self.found.rows,
            missing=len(self.found.missing),
            ghosts=len(self.found.missing_at_source),
            different=len(self.found.different),
            blocked=len(self.blocked),
            took_s=self.took_s,
            detail=json.dumps(detail, ensure_ascii=False),
        )

    def _named(self) -> dict[str, list[Key]]:
        found = self.found
        return {
            "missing in silver": sorted(found.missing),
            "ghosts, not in the source": sorted(found.missing_at_source),
            "different": sorted(found.different),
            "blocked by quarantine": sorted(self.blocked),
        }

    def _text(self, key: Key) -> str:
        named = ", ".join(f"{name}={text}" for name, text in zip(self.table.key, key, strict=True))
        return f"{named} ({', '.join(self.columns[key])})" if key in self.columns else named


def compare(spark: SparkSession, settings: Settings, names: Iterable[str], timeout_s: float) -> list[Outcome]:
    """Compare these source tables and record the result of each; raises `NotReadyError` if the catch-up times out."""
    declared = [tables.source(name) for name in names]
    with taken(settings) as (snapshot, cursor):
        waiting = catch_up.CatchUp(settings=settings, give_up_at=time.monotonic() + timeout_s)
        catch_up.reach_silver(waiting, [table.name for table in declared])
        outcomes = [compared(spark, settings, table, snapshot, cursor) for table in declared]
    for outcome in outcomes:
        maintenance.write_reconciliation(spark, outcome.record(maintenance.reconciliation(spark, outcome.table.name)))
    return outcomes


def compared(spark: SparkSession, settings: Settings, table: Table, snapshot: Snapshot, cursor: Any) -> Outcome:
    """Compare one table; silver has every change visible in the snapshot, and `cursor` is in its transaction."""
    began = time.monotonic()
    source = SourceTable(cursor, settings.source_schema, table)
    silver = SilverTable(spark, settings, table, snapshot, source.types)
    found = checksum_diff.differences(source, silver, checksum_diff.first_shift(*source.bounds()))
    blocked = _take_blocked(found, silver)
    shown = [row for _, row in sorted(found.different.items())[:SHOWN_KEYS]]
    columns = _differing_columns(source, silver, shown) if shown else {}
    left_out = [column.name for column in table.columns if column not in source.columns]
    if left_out:
        reason = "not compared, dropped at the source or not comparable as text"
        print(f"{table.full_name}: {reason}: {', '.join(left_out)}", file=sys.stderr)
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
    """Remove the keys whose newer change waits in quarantine from the differences, and return them."""
    differing = found.missing | found.missing_at_source | found.different
    waiting = {key: places for key, places in silver.waiting().items() if key in differing} if differing else {}
    # A missing key may have a delete in silver: a quarantined record older than that does not block the key.
    newest = silver.newest(Part(0, tuple(differing[key].place for key in waiting))) if waiting else {}
    blocked = {key for key, row in differing.items() if row.is_blocked}
    blocked |= {key for key, places in waiting.items() if key not in newest or any(_is_newer(place, newest[key]) for place in places)}
    for rows in (found.missing, found.missing_at_source, found.different):
        for key in blocked & rows.keys():
            del rows[key]
    return tuple(sorted(blocked))


def _is_newer(waiting: tuple[int | None, int | None, int], row: Row) -> bool:
    """Whether a record in quarantine is newer than the change; by offset if its position cannot be read."""
    epoch, lsn, offset = waiting
    if lsn is None or epoch is None:
        return offset > (row.offset or -1)
    return (epoch, lsn) > (row.epoch or 0, row.lsn or 0)
