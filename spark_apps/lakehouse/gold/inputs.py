"""Inputs of an aggregate: one pinned snapshot of each input table and of the gold table itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from lakehouse import platform_tables, tables
from lakehouse.contract import Table
from lakehouse.delta import reading
from lakehouse.delta.errors import VersionGoneError
from lakehouse.delta.pruning import EPOCH, partition_value
from lakehouse.gold import queries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.delta.actions import Commit, File
    from lakehouse.delta.log import Snapshot
    from lakehouse.lake.lake import Lake
    from lakehouse.sql import Slice

# Estimated bytes per row, for a file without a row count in the log.
_BYTES_A_ROW = 16


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The table to compute, a snapshot of each input by name, and the stored snapshot of the table itself."""

    table: Table
    snapshots: Mapping[str, Snapshot]
    stored: Snapshot

    @property
    def versions(self) -> dict[str, int]:
        """The version of each input."""
        return {name: snapshot.version for name, snapshot in self.snapshots.items()}

    def files(self, name: str, slices: Sequence[Slice] | None) -> list[File]:
        """The files of an input needed for these slices (None: for all)."""
        snapshot = self.snapshots[name]
        column = sliced_column(self.table, name, snapshot)
        return reading.pruned(snapshot, {column: slices} if column and slices is not None else None)

    def rows(self, slices: Sequence[Slice] | None) -> int:
        """Estimated number of rows to read for these slices."""
        found = [file for name in self.snapshots for file in self.files(name, slices)]
        return sum(file.rows if file.rows is not None else file.size // _BYTES_A_ROW for file in found)


def is_source(name: str) -> bool:
    """Whether an input is a source table, stored in silver; otherwise it is a gold table."""
    return name in queries.SOURCES


def stored_form(name: str) -> Table:
    """The stored table behind an input."""
    return platform_tables.stored(tables.source(name)) if is_source(name) else tables.gold(name)


def pin(lake: Lake, table: Table) -> Inputs:
    """The newest snapshot of each input, and of the table."""
    found = {name: lake.snapshot(stored_form(name)) for name in table.inputs}
    return Inputs(table=table, snapshots=found, stored=lake.snapshot(table))


def sliced_column(table: Table, name: str, snapshot: Snapshot) -> str | None:
    """The partition column of an input that is the table's slice; None if the log does not give the slices of a file."""
    if name not in table.sliced_by:
        return None
    columns = queries.slice_columns(table, name)
    is_plain = len(columns) == 1 and queries.slice_of(table, name) == f'"{name}"."{columns[0]}"'
    return columns[0] if is_plain and columns[0] in snapshot.partition_columns else None


def changed_slices(lake: Lake, inputs: Inputs, name: str, since: int) -> set[Slice] | None:
    """The slices in which an input changed after its version `since`; None if unknown, so all may have changed."""
    snapshot = inputs.snapshots[name]
    column = sliced_column(inputs.table, name, snapshot)
    if column is None:
        return None
    try:
        commits = lake.log(stored_form(name)).commits(since + 1, snapshot.version)
    except VersionGoneError:
        return None
    found = {file.partition.get(column) for commit in commits for file in _changed(commit)}
    return {_day(partition_value(snapshot.fields[column], text)) for text in found}


def _changed(commit: Commit) -> Iterable[File]:
    return (file for file in (*commit.adds, *commit.removes, *commit.cdc) if file.is_data_change or file in commit.cdc)


def _day(days: int | None) -> date | None:
    return None if days is None else EPOCH.date() + timedelta(days=days)


def runs(lake: Lake, inputs: Inputs) -> dict[str, tuple[int, int]]:
    """Least and greatest run of each source table's rows; -1 where there are none."""
    found = {}
    for name in filter(is_source, inputs.snapshots):
        rows = reading.relation(lake.con, inputs.snapshots[name], lake.store, ["_run"])
        found[name] = rows.aggregate("coalesce(min(_run), -1), coalesce(max(_run), -1)").fetchall()[0]
    return found
