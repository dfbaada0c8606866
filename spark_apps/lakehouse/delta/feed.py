"""Change feed of a table that is mostly appended to: rows added by commits, read from the commits' own files.

Rows that a commit only moved or rewrote are not returned. Compactions are skipped. For a commit that also removed rows, the inserts of its
change files are returned or, if it has none, the rows that occur more often after it than before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.delta import reading
from lakehouse.delta.actions import Commit, File
from lakehouse.delta.log import Snapshot, TableLog
from lakehouse.delta.pruning import Filter
from lakehouse.delta.schema import Field, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VERSION = "_commit_version"
_CHANGE_TYPE = Field(name="_change_type", json_type="string", is_nullable=True, metadata={})


def added_rows(
    con: DuckDBPyConnection,
    log: TableLog,
    start: int,
    end: int,
    columns: Sequence[str] | None = None,
    where: Filter | None = None,
) -> pa.Table:
    """Rows that versions `start` to `end` (both inclusive) added, with `_commit_version` (int64), ordered by it.

    Columns and types are those of the table's newest version. An updated row is not an added row, as in Delta's change feed. Raises
    VersionGoneError if the log no longer reaches back to `start`, or files of these versions have been deleted.
    """
    snapshot = log.snapshot()
    names = list(snapshot.fields if columns is None else columns)
    parts, plain = [_empty(snapshot, names)], []
    versions: dict[str, int] = {}
    for commit in log.commits(start, end):
        if not commit.changes_rows:
            continue
        if not commit.cdc and not any(file.is_data_change for file in commit.removes):
            added = [file for file in commit.adds if file.is_data_change]
            if versions.keys().isdisjoint(file.path for file in added):
                plain += added
                versions |= {file.path: commit.version for file in added}
                continue
        parts.append(_versioned(_added_by(con, log, snapshot, commit, names, where), commit.version))
    if plain:
        parts.append(_appended(con, log, snapshot, plain, versions, names, where))
    rows = pa.concat_tables(parts)
    return rows.take(pc.sort_indices(rows, sort_keys=[(VERSION, "ascending")])) if len(parts) > 2 else rows


def _empty(snapshot: Snapshot, names: Sequence[str]) -> pa.Table:
    wanted = {name: snapshot.fields[name].arrow_type for name in names} | {VERSION: pa.int64()}
    return pa.schema(list(wanted.items())).empty_table()


def _versioned(rows: pa.Table, version: int) -> pa.Table:
    return rows.append_column(VERSION, pa.repeat(pa.scalar(version, pa.int64()), rows.num_rows))


def _appended(
    con: DuckDBPyConnection,
    log: TableLog,
    snapshot: Snapshot,
    files: list[File],
    versions: dict[str, int],
    names: list[str],
    where: Filter | None,
) -> pa.Table:
    """Rows of files of append-only commits, in one scan."""
    found = reading.located(con, snapshot, log.store, names, files, where)
    numbers = pa.array([versions[path] for path in found[reading.FILE].to_pylist()], pa.int64())
    return found.select(names).append_column(VERSION, numbers)


def _added_by(
    con: DuckDBPyConnection, log: TableLog, snapshot: Snapshot, commit: Commit, names: list[str], where: Filter | None
) -> pa.Table:
    """Rows added by a commit that also removed rows."""
    if commit.cdc:
        return _inserts(con, log, snapshot, commit, names, where)
    added = [file for file in commit.adds if file.is_data_change]
    removed = [file for file in commit.removes if file.is_data_change]
    if not reading.pruned(snapshot, where, added):
        return _empty(snapshot, names).drop_columns([VERSION])
    # Compare whole rows: different rows could be equal on some of their columns.
    after, before = (reading.relation(con, snapshot, log.store, None, files, where) for files in (added, removed))
    more = after.except_(before)  # EXCEPT ALL: the number of equal rows counts
    return reading.as_arrow(more.project(", ".join(map(quoted, names))), snapshot, names)


def _inserts(
    con: DuckDBPyConnection, log: TableLog, snapshot: Snapshot, commit: Commit, names: list[str], where: Filter | None
) -> pa.Table:
    """Rows that a commit's change files record as inserts."""
    found = reading.relation(con, snapshot, log.store, names, commit.cdc, where, only=(_CHANGE_TYPE, "insert"))
    return reading.as_arrow(found, snapshot, names)
