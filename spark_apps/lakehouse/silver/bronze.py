"""Bronze records of one source table: those landed since a version, those at given positions, and their completeness."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from lakehouse import platform_tables
from lakehouse.delta import feed, reading
from lakehouse.lake import epochs
from lakehouse.lake.state import NO_CHECKPOINT
from lakehouse.transforms.records import arrow, received

if TYPE_CHECKING:
    import pyarrow as pa

    from lakehouse.contract import Table
    from lakehouse.delta.log import Snapshot
    from lakehouse.delta.pruning import Filter
    from lakehouse.lake.lake import Lake
    from lakehouse.transforms.records.received import Record

_PLACED = ("source_table", "_landed_at", "lsn", "commit_at")
_COLUMNS = (*_PLACED, *received.BRONZE_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Increment:
    """The records of a table that some versions of bronze landed, and the commit time up to which they make it complete."""

    records: list[Record]
    complete_to: datetime | None


def count(lake: Lake, table: Table, consumed: int, snapshot: Snapshot) -> int:
    """Number of records of the table that landed after version `consumed`, from the log alone; an upper bound if rows were removed."""
    if consumed == NO_CHECKPOINT:
        files = snapshot.files
    else:
        commits = lake.log(platform_tables.CHANGES).commits(consumed + 1, snapshot.version)
        files = tuple(file for commit in commits if commit.changes_rows for file in commit.adds)
    return sum(file.rows or 0 for file in files if file.partition["source_table"] == table.name)


def increment(lake: Lake, table: Table, consumed: int, snapshot: Snapshot) -> Increment:
    """Records that versions after `consumed`, up to the snapshot's, landed of the table. VersionGoneError if one was vacuumed."""
    wanted = {"source_table": [table.name, platform_tables.HEARTBEAT]}
    if consumed == NO_CHECKPOINT:
        rows = reading.read(lake.con, snapshot, lake.store, _COLUMNS, where=wanted)
    else:
        rows = feed.added_rows(lake.con, lake.log(platform_tables.CHANGES), consumed + 1, snapshot.version, _COLUMNS, where=wanted)
    own = rows.filter(pc.equal(rows["source_table"], table.name))
    return Increment(records=list(received.records(own)), complete_to=_complete_to(rows))


def at(lake: Lake, table: Table, column: str, values: Collection[int], snapshot: Snapshot) -> list[Record]:
    """The table's records whose `column` (offset or lsn) has one of these values."""
    where: Filter = {"source_table": [table.name], column: sorted(values)}
    return list(received.records(reading.read(lake.con, snapshot, lake.store, received.BRONZE_COLUMNS, where=where)))


def source(snapshot: Snapshot) -> epochs.Source | None:
    """The Postgres that the lake was filled from; None for a new lake."""
    return epochs.of_properties(snapshot.configuration)


def _complete_to(rows: pa.Table) -> datetime | None:
    """Newest commit time of readable changes and heartbeats, each limited to the time it landed."""
    readable = rows.filter(pc.and_(pc.is_valid(rows["lsn"]), pc.is_valid(rows["commit_at"])))
    if not readable.num_rows:
        return None
    instant = arrow.arrow_type("TIMESTAMP")
    committed, landed = (readable[name].cast(instant).cast("int64") for name in ("commit_at", "_landed_at"))
    micros = pc.max(pc.min_element_wise(committed, landed)).as_py()
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
