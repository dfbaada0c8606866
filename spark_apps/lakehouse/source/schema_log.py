"""Log of the source's schema changes (`silver.schema_changes`), and those that stop a table until accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.lake import small_table

if TYPE_CHECKING:
    from lakehouse.lake.lake import Lake

APPLIED, DRIFT, WAITING, ACCEPTED = "applied", "drift", "waiting", "accepted"
# Changes that no record carries; the table is refined without them.
GAP = "gap"
# Actions of capture, as opposed to changes of the source.
LEFT_OUT, NOT_CAPTURED = "left out", "capture stopped"
# Changes of the whole table and of its entry in the publication.
GONE, CAME, REPLACED = "dropped", "added", "replaced by another"
UNFIT, FIT = "cannot be captured", "can be captured"
UNPUBLISHED, PUBLISHED, REPUBLISHED = "no longer published", "published", "published anew"
ATTACHED, DETACHED, TRUNCATED = "partition attached", "partition detached", "partition truncated"
_MISSED = frozenset({GONE, CAME, REPLACED, UNFIT, UNPUBLISHED, REPUBLISHED})
# Debezium 3.7 mixes a change's type with the catalog's newer one, logs a warning, and sends NULL.
READ_AGAIN = (
    "values that were written in the moment before a column got another type may have come as NULL: "
    "`python -m lakehouse resnapshot {table}` reads the rows as they are now"
)
# Changes made while a table is not captured are lost.
READ_WHOLE = (
    "{table} is captured again from now on; what happened to it meanwhile was not: `python -m lakehouse resnapshot {table}` reads the rows "
    "as they are now, and `python -m lakehouse reconcile {table} --repair` ends those that are gone"
)
_NAMES = platform_tables.SCHEMA_CHANGES.column_names


@dataclass(frozen=True, kw_only=True)
class SchemaChange:
    """One change of a captured table; times are UTC. See `platform_tables.SCHEMA_CHANGES`."""

    source_table: str
    column: str | None
    what: str
    type_before: str | None
    type_after: str | None
    seen_at: datetime
    state: str
    accepted_at: datetime | None = None
    shape: str
    reason: str | None = None

    @property
    def has_missed(self) -> bool:
        """Whether changes of the table were not captured, so that it must be published and read again."""
        return self.what == NOT_CAPTURED or (self.column is None and self.what in _MISSED)

    def __str__(self) -> str:
        subject = f"column {self.column} " if self.column else "" if self.reason else "the table "
        said = f"{self.source_table}: {subject}{self.what}"
        if self.type_before or self.type_after:
            said += f", {self.type_before or 'nothing'} before, {self.type_after or 'nothing'} now"
        if self.what == NOT_CAPTURED:
            said = f"{self.source_table}: {f'column {self.column}, ' if self.column else ''}{NOT_CAPTURED}"
        return f"{said} ({self.reason})" if self.reason else said


class SchemaLog:
    """Recorded schema changes, as of one version of `silver.schema_changes`."""

    def __init__(self, lake: Lake) -> None:
        self._held = small_table.Rows(lake, platform_tables.SCHEMA_CHANGES)
        rows = sorted(self._held.rows, key=lambda row: (row["seen_at"], row["source_table"], row["column"] or ""))
        self._rows = [(row, SchemaChange(**{name: row[name] for name in _NAMES})) for row in rows]
        # Oldest first.
        self.changes = [change for _, change in self._rows]

    def shapes(self) -> dict[str, str]:
        """Shape (JSON) of each table at its last recorded change; tables never seen are missing."""
        return {change.source_table: change.shape for change in self.changes}

    def in_state(self, state: str, source_table: str | None = None) -> list[SchemaChange]:
        """Changes in that state of one table or of all, oldest first."""
        return [change for change in self.changes if change.state == state and source_table in (None, change.source_table)]

    def left_out(self) -> list[SchemaChange]:
        """The newest change of each column that capture excludes, without columns declared since."""
        newest: dict[tuple[str, str], SchemaChange] = {}
        # At equal times, the change with a reason wins.
        for change in sorted(self.changes, key=lambda change: (change.seen_at, change.reason is not None)):
            if change.column is not None:
                newest[change.source_table, change.column] = change
        return [newest[place] for place in sorted(newest) if newest[place].reason is not None and newest[place].state == DRIFT]

    def not_captured(self) -> frozenset[str]:
        """Tables that are not captured until a person accepts the change."""
        return frozenset(change.source_table for change in self.in_state(WAITING) if change.what == NOT_CAPTURED)

    def unfit(self) -> frozenset[str]:
        """Tables that are not published until a person accepts the change that made them unfit."""
        return frozenset(change.source_table for change in self.in_state(WAITING) if change.what == UNFIT)

    def altered_columns(self) -> frozenset[tuple[str, str | None]]:
        """Table and column of every change to an existing column; the column is None for a change of the table or its key."""
        return frozenset((change.source_table, change.column) for change in self.changes if change.type_before is not None)

    def stop(self, table: Table) -> str | None:
        """Why the table must not be refined until a person accepts its changes; None if it may be refined."""
        return stop_notice(table, self.in_state(WAITING, table.name))

    def record(self, found: Sequence[SchemaChange], sources: Iterable[Table]) -> None:
        """Add changes and mark drift that is now declared as applied, in one commit; no commit if there is nothing to write.

        Raises ConflictError if another check wrote since this one read.
        """
        declared = {(table.name, name) for table in sources for name in table.column_names}
        applied = [
            (row, change) for row, change in self._rows if change.state == DRIFT and (change.source_table, change.column) in declared
        ]
        new = [
            replace(change, state=APPLIED) if change.state == DRIFT and (change.source_table, change.column) in declared else change
            for change in found
        ]
        self._held.write({id(row): {**row, "state": APPLIED} for row, _ in applied}, [vars(change) for change in new])

    def accept(self, table: Table) -> list[SchemaChange]:
        """Accept the waiting changes and gaps of a table and return them.

        Raises EbapError if there are none, and ConflictError as `record`.
        """
        found = [(row, change) for row, change in self._rows if change.state in (WAITING, GAP) and change.source_table == table.name]
        if not found:
            stopped = ", ".join(sorted({change.source_table for change in self.in_state(WAITING)})) or "no table"
            raise EbapError(f"nothing of {table.name} waits to be accepted", f"{stopped} is stopped by a change of the source's schema")
        now = datetime.now(UTC)
        self._held.write({id(row): {**row, "state": ACCEPTED, "accepted_at": now} for row, _ in found})
        return [change for _, change in found]


def stop_notice(table: Table, waiting: Sequence[SchemaChange]) -> str | None:
    """Why the table must not be refined, by its waiting changes; None if there are none."""
    if not waiting:
        return None
    stopped = [change for change in waiting if change.what == NOT_CAPTURED]
    if stopped:
        return (
            f"{table.full_name} is stopped, and no longer captured: {'; '.join(map(str, stopped))}. The other tables go on. Take the value "
            f"or the column away at the source, then `python -m lakehouse accept {table.name}` and `python -m lakehouse resnapshot "
            f"{table.name}`"
        )
    missed = [change for change in waiting if change.has_missed]
    if missed:
        return (
            f"{table.full_name} is stopped: {'; '.join(map(str, missed))}. The other tables go on. `python -m lakehouse accept "
            f"{table.name}` has it captured again, `python -m lakehouse resnapshot {table.name}` reads its rows, and "
            f"`python -m lakehouse reconcile {table.name} --repair` ends those that are gone"
        )
    return (
        f"{table.full_name} is stopped: the source's schema changed ({'; '.join(map(str, waiting))}). Its changes wait in bronze. "
        f"`python -m lakehouse accept {table.name}` lets it go on where it stood; values that its declared types cannot hold then go to "
        "quarantine"
    )
