"""Compact one stored table: merge small files, delete unneeded files, and delete old days of bronze where configured."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.errors import EbapError, retry
from lakehouse.lake import commits, ddl, files, maintenance, state, storage
from lakehouse.settings import Settings
from lakehouse.verbs import Call

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_VACUUM_EVERY = timedelta(hours=23)  # once a day, with a tolerance for runs that start early
_MARGIN = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class CompactResult:
    """Result of a run; `first_landed_on` is None if bronze is complete.

    `waiting_since`: a reader of versions has waited so long that VACUUM would delete files it needs, so VACUUM was skipped.
    """

    table: str
    before: files.Files
    after: files.Files
    has_vacuumed: bool
    waiting_since: datetime | None
    first_landed_on: date | None
    changed: bool


def run(spark: SparkSession, settings: Settings, full_name: str, is_vacuum_due: bool | None = None) -> CompactResult:
    """Compact that stored table; `is_vacuum_due` None: once a day. Raises ConflictError if every attempt conflicted."""
    table = stored(full_name)
    began = time.monotonic()
    last = maintenance.compaction(spark, full_name)
    before = files.of(spark, full_name)
    first_landed_on = last.first_landed_on if last else None
    removed_to = _removable(spark, settings, first_landed_on) if full_name == storage.BRONZE else None
    if removed_to:
        # Recorded before the removal, so that a rebuild never treats the remaining days of bronze as complete.
        noted = replace(last or _first(full_name, before), first_landed_on=removed_to)
        retry(lambda: maintenance.write_compaction(spark, noted))
        retry(lambda: files.remove_landed_before(spark, removed_to))
    joined = retry(lambda: files.join_small(spark, full_name))
    if is_vacuum_due is None:
        is_vacuum_due = last is None or last.vacuumed_at is None or datetime.now(UTC) - last.vacuumed_at > _VACUUM_EVERY
    waiting_since = _waits_too_long(spark, settings, table) if is_vacuum_due else None
    has_vacuumed = is_vacuum_due and waiting_since is None and files.delete_unneeded(spark, full_name)
    after = files.of(spark, full_name) if joined or removed_to else before
    made = maintenance.Compaction(
        table_name=full_name,
        compacted_at=datetime.now(UTC),
        took_s=round(time.monotonic() - began, 3),
        **{f"{name}_before": value for name, value in _counted(before).items()},
        **{f"{name}_after": value for name, value in _counted(after).items()},
        vacuumed_at=datetime.now(UTC) if has_vacuumed else last.vacuumed_at if last else None,
        waiting_since=waiting_since,
        first_landed_on=removed_to or first_landed_on,
    )
    retry(lambda: maintenance.write_compaction(spark, made))
    return CompactResult(
        table=full_name,
        before=before,
        after=after,
        has_vacuumed=has_vacuumed,
        waiting_since=waiting_since,
        first_landed_on=made.first_landed_on,
        changed=joined or bool(removed_to) or has_vacuumed,
    )


def _first(full_name: str, found: files.Files) -> maintenance.Compaction:
    """The record of a table that has never been compacted."""
    counted = {f"{name}_{when}": value for name, value in _counted(found).items() for when in ("before", "after")}
    return maintenance.Compaction(
        table_name=full_name,
        compacted_at=datetime.now(UTC),
        took_s=0.0,
        **counted,
        vacuumed_at=None,
        waiting_since=None,
        first_landed_on=None,
    )


def stored(full_name: str) -> Table:
    """The stored table of that full name; EbapError lists the existing ones."""
    known = {table.full_name: table for table in ddl.stored_tables()}
    if full_name not in known:
        raise EbapError(f"there is no stored table {full_name!r}", f"the stored ones are {', '.join(known)}")
    return known[full_name]


def _waits_too_long(spark: SparkSession, settings: Settings, table: Table) -> datetime | None:
    """Start of the longest wait of a reader whose files may be older than `retention_h`; None if there is none."""
    since = _waiting_since(spark, settings, table)
    return since if since and datetime.now(UTC) - since > timedelta(hours=table.retention_h) - _MARGIN else None


def _waiting_since(spark: SparkSession, settings: Settings, table: Table) -> datetime | None:
    """The oldest time at which a reader of versions last read this table, among those that have not read all; None if all have."""
    newest = commits.content_version(spark, table.full_name)
    since = []
    if table.full_name == storage.BRONZE:
        silver = state.store(settings).read_all(tables.SOURCES).values()
        since += [made.updated_at for made in silver if made.updated_at and made.bronze_version < newest]
    gold = state.store(settings).read_all(gold for gold in tables.GOLD if table.name in gold.inputs).values()
    since += [made.updated_at for made in gold if made.updated_at and made.inputs.get(table.name, {}).get("version", newest) < newest]
    return min(since, default=None)


def _removable(spark: SparkSession, settings: Settings, first_landed_on: date | None) -> date | None:
    """The day before which bronze can be deleted: old enough and refined by every table; None if there is nothing to delete."""
    if not settings.bronze_keep_days:
        return None
    refined = [made.updated_at.date() for made in state.store(settings).read_all(tables.SOURCES).values() if made.updated_at]
    if len(refined) < len(tables.SOURCES):
        return None
    # A batch may start on one day and commit on the next: the day before the oldest checkpoint may not be refined yet.
    day = min(datetime.now(UTC).date() - timedelta(days=settings.bronze_keep_days), min(refined) - timedelta(days=1))
    return day if first_landed_on is None or day > first_landed_on else None


def _counted(found: files.Files) -> dict[str, int]:
    return {"files": found.count, "bytes": found.bytes, "small": found.small}


def parse(argv: list[str]) -> Call:
    """A call that compacts the named table once."""
    parser = argparse.ArgumentParser(prog="compact", description="Merge a table's small files and delete unneeded ones.")
    parser.add_argument("table", choices=[table.full_name for table in ddl.stored_tables()])
    parser.add_argument("--vacuum", action="store_true", help="delete unneeded files now, not once a day")
    given = parser.parse_args(argv)
    return partial(run, full_name=given.table, is_vacuum_due=True if given.vacuum else None)
