"""Maintenance of an Iceberg table of the live half, by Trino: merge small files, expire old snapshots, remove files that none refers to.

Appends of the final lane go on meanwhile; Iceberg retries a commit that was overtaken.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse import tables
from lakehouse.contract import LONGEST_READER_H
from lakehouse.live import trino
from lakehouse.live.position import KEY

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.settings import Settings

# A commit a minute writes files of some ten kilobytes. Trino leaves a partition with one file as it is.
_SMALL = "16MB"


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """Files before and after; `has_expired`: whether snapshots older than a day were expired."""

    table: str
    files_before: int
    files_after: int
    has_expired: bool
    changed: bool


def light(argv: list[str]) -> Callable[[Settings], Maintained]:
    """The call that maintains the named table, without Spark."""
    parser = argparse.ArgumentParser(prog="lakehouse optimize", description=__doc__)
    parser.add_argument("table", choices=[table.name for table in tables.LIVE])
    table = tables.live(parser.parse_args(argv).table)
    return lambda settings: run(settings, table, datetime.now(UTC))


def run(settings: Settings, table: Table, now: datetime) -> Maintained:
    """Merge small files, and expire snapshots no reader needs; safe to repeat."""
    before = _files(settings, table)
    trino.query(settings, f"ALTER TABLE {table.name} EXECUTE optimize(file_size_threshold => '{_SMALL}')")
    has_expired = _is_current(settings, table, now)
    if has_expired:
        trino.query(settings, f"ALTER TABLE {table.name} EXECUTE expire_snapshots(retention_threshold => '{LONGEST_READER_H}h')")
        trino.query(settings, f"ALTER TABLE {table.name} EXECUTE remove_orphan_files(retention_threshold => '{LONGEST_READER_H}h')")
    after = _files(settings, table)
    return Maintained(table=table.full_name, files_before=before, files_after=after, has_expired=has_expired, changed=before != after)


def _is_current(settings: Settings, table: Table, now: datetime) -> bool:
    """Whether the snapshot with the final lane's position is young: expiring it would have everything read again.

    The lane renews it every few hours; only while it is away for longer nothing expires.
    """
    found = trino.query(
        settings,
        f"SELECT to_unixtime(max(committed_at)) FROM \"{table.name}$snapshots\" WHERE element_at(summary, '{KEY}') IS NOT NULL",
    ).rows[0][0]
    return found is not None and now - datetime.fromtimestamp(found, UTC) < timedelta(hours=LONGEST_READER_H) / 2


def _files(settings: Settings, table: Table) -> int:
    return int(trino.query(settings, f'SELECT count(*) FROM "{table.name}$files"').rows[0][0])
