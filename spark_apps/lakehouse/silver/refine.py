"""Refine one source table in this process: what bronze landed since the table's checkpoint becomes its history in silver.

Decodes the records, sends those that cannot be used to quarantine, folds the rest with the rows of the keys that they touch, and writes
the difference and the checkpoint in one commit. Work for Spark is left to it (`TooLarge`): many records, a whole table, records of
people whom the lake has forgotten. Each write repeats without effect, so a crash between two of them costs the repetition.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lakehouse import ledger, schema_changes, shapes, tables
from lakehouse.lake import state
from lakehouse.lake.errors import ConflictError, TooLarge, VersionGone
from lakehouse.lake.lake import Lake
from lakehouse.lake.state import TableState
from lakehouse.silver import bronze, erasures, quarantine
from lakehouse.silver.stored import StoredChanges
from lakehouse.transforms.history import fold
from lakehouse.transforms.history.form import Form
from lakehouse.transforms.records import envelope
from lakehouse.transforms.records.envelope import Decoded, Decoder
from lakehouse.transforms.records.truncates import merged

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.lake.log import Snapshot
    from lakehouse.settings import Settings
    from lakehouse.transforms.history.fold import Difference

_TRIES = 3
# The newest commits in which a lost state is looked for; what is older costs a repetition.
_LOOK_BACK = 100


class RefineError(RuntimeError):
    """A table that cannot be refined; the message names it and the cure. Its checkpoint has not moved."""


@dataclass(frozen=True, kw_only=True)
class RefineResult:
    """What a run did: records of the table it took, whether silver changed, records sent to quarantine, bronze version consumed.

    `paused` says since when and by whom the table is paused, and the cure, where something landed and was left for that reason.
    """

    table: str
    records: int
    changed: bool
    quarantined: int
    bronze_version: int
    paused: str | None = None


def run(lake: Lake, table_name: str) -> RefineResult:
    """Take what bronze landed since the table's checkpoint; does nothing, quickly, where that is nothing or the table is paused.

    Raises RefineError, and TooLarge where a run by Spark is due.
    """
    table = tables.source(table_name)
    for left in reversed(range(_TRIES)):
        try:
            return _run(lake, table)
        except ConflictError as error:
            # A compaction or another run was first: read again, decide anew.
            if not left:
                raise RefineError(f"{table.full_name} was written by others during each of {_TRIES} tries: {error}") from error
        except VersionGone as error:
            cure = f"Run `python -m lakehouse rebuild {table.name}`."
            raise RefineError(f"{table.full_name}: the versions of {ledger.CHANGES.full_name} behind its mark are gone. {cure}") from error
    raise AssertionError("unreachable")


def _run(lake: Lake, table: Table) -> RefineResult:
    known, landed = lake.states.read(table), lake.snapshot(ledger.CHANGES)
    nothing = RefineResult(table=table.name, records=0, changed=False, quarantined=0, bronze_version=known.bronze_version)
    if known.bronze_version == landed.version:
        return nothing
    if known.pause_notice:
        return replace(nothing, paused=known.pause_notice)
    if known.bronze_version > landed.version:
        raise RefineError(replaced_bronze(table, known.bronze_version, landed.version))
    if not known.has_run:
        known = _restored(lake, table, known)
    _refuse_large(lake, table, known, landed)
    admitted = _admitted(lake, table, known)
    return _Run(lake, admitted, known, landed).result()


class _Run:
    """One run of a table from `known`, its state when it began, to `landed`, a snapshot of bronze."""

    def __init__(self, lake: Lake, table: Table, known: TableState, landed: Snapshot) -> None:
        source = bronze.source(landed)
        self.lake, self.table, self.known, self.landed = lake, table, known, landed
        self.form, self.decoder = _form(table), _decoder(table, source.placeholders if source else (), lake.settings.source_schema)
        self.forgotten = erasures.forgotten(lake, table)

    def result(self) -> RefineResult:
        increment = bronze.increment(self.lake, self.table, self.known.bronze_version, self.landed)
        decoded = self.decoder.decode(increment.records)
        if self.forgotten and erasures.holds_any(self.table, decoded, self.decoder, self.forgotten):
            raise TooLarge(f"{self.table.full_name}: records of forgotten people landed, which have to leave bronze too")
        made = self._state(decoded, increment.complete_to)
        changed = bool(decoded.records) and self._apply(decoded, made)
        if decoded.records and erasures.forgotten(self.lake, self.table) != self.forgotten:
            raise TooLarge(f"{self.table.full_name}: people were forgotten meanwhile, of whom this run knew nothing")
        self.lake.states.advance(self.known, made)
        return RefineResult(
            table=self.table.name,
            records=decoded.records,
            changed=changed,
            quarantined=len(decoded.faults),
            bronze_version=self.landed.version,
        )

    def _state(self, decoded: Decoded, complete_to: datetime | None) -> TableState:
        return TableState(
            table_name=self.table.full_name,
            bronze_version=self.landed.version,
            truncates=merged(self.known.truncates, decoded.truncates),
            complete_to=max((at for at in (self.known.complete_to, complete_to) if at), default=None),
            updated_at=datetime.now(UTC),
            records=decoded.records,
            quarantined=len(decoded.faults),
        )

    def _apply(self, decoded: Decoded, made: TableState) -> bool:
        """Write quarantine, then the difference to silver with the checkpoint; whether silver changed."""
        quarantine.enter(self.lake, self.table, decoded.faults)
        stored = StoredChanges(self.lake, self.form)
        difference = self._difference(decoded, made, stored)
        quarantine.enter(self.lake, self.table, quarantine.beaten(self.lake, self.table, self.decoder, difference.contested, self.landed))
        if not difference.rows:
            return False
        stored.replace(difference.rows, writer_of(self.table), made.checkpoint())
        return True

    def _difference(self, decoded: Decoded, made: TableState, stored: StoredChanges) -> Difference:
        places = {truncate.place for truncate in self.known.truncates}
        new_truncates = [truncate for truncate in made.truncates if truncate.place not in places]
        incoming = fold.Incoming(
            changes=decoded.changes,
            run=self.landed.version,
            blocked=quarantine.waiting(self.lake, self.table, self.decoder, self.landed),
            truncates=made.truncates,
            new_truncates=new_truncates,
        )
        return fold.difference(self.form, incoming, self._newest(decoded, stored, bool(new_truncates)), stored.whole)

    def _newest(self, decoded: Decoded, stored: StoredChanges, is_truncated: bool) -> list[Any]:
        if is_truncated:
            # A truncate is of every key.
            return stored.every_newest()
        keys = {self.form.key_of(change.values) for change in decoded.changes}
        keys |= {place.key for place in envelope.places(decoded, self.table)}
        keys |= {self.form.key_of_json(change.linked_key) for change in decoded.changes if change.linked_key is not None}
        return stored.newest(keys)


def replaced_bronze(table: Table, consumed: int, now: int) -> str:
    """Why a table that has consumed more of bronze than there is cannot be refined."""
    return (
        f"{table.full_name} has consumed version {consumed} of {ledger.CHANGES.full_name}, which is only at {now}: bronze was replaced. "
        f"Run `python -m lakehouse rebuild {table.name}`."
    )


def writer_of(table: Table) -> str:
    """Under which name the commits to a source table's stored changes are numbered."""
    return f"ebap.refine.{table.name}"


def _restored(lake: Lake, table: Table, known: TableState) -> TableState:
    """The state of a table without a row: what its newest commits carry, or that of a table that was never refined."""
    log = lake.log(ledger.stored(table))
    newest = log.snapshot().version
    for version in range(newest, max(newest - _LOOK_BACK, -1), -1):
        try:
            (commit,) = log.commits(version, version)
        except VersionGone:
            break
        found = _checkpoint(commit.user_metadata)
        if found and found["checkpoint"] == table.full_name:
            made = state.restored(table.full_name, found)
            return replace(made, turn=known.turn, paused_at=known.paused_at)
    return known


def _checkpoint(text: str | None) -> dict[str, Any] | None:
    """The checkpoint that a commit carries; None for another's metadata."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) and "checkpoint" in found else None


def _refuse_large(lake: Lake, table: Table, known: TableState, landed: Snapshot) -> None:
    found, limit = bronze.count(lake, table, known.bronze_version, landed), lake.settings.light_records
    if found > limit:
        raise TooLarge(f"{table.full_name}: {found} records landed, more than EBAP_LIGHT_RECORDS={limit}")


def _admitted(lake: Lake, table: Table, known: TableState) -> Table:
    """The declaration by which the stored table takes changes, unless its own change or one of the source's schema stops it."""
    stored = lake.snapshot(ledger.stored(table))
    given = {field.name: field.type for field in stored.schema}
    made, message = shapes.judge(table, given, stored.configuration.get("ebap.shape"))
    message = message or schema_changes.stop_notice(table, _waiting_changes(lake, table))
    if message:
        if known.error != message:
            lake.states.stop(table, message)
        raise RefineError(message)
    return made


def _waiting_changes(lake: Lake, table: Table) -> list[schema_changes.SchemaChange]:
    """Changes of the source's schema that wait to be accepted, oldest first."""
    own = {"source_table": [table.name], "state": [schema_changes.WAITING]}
    rows = lake.read(ledger.SCHEMA_CHANGES, where=own).to_pylist()
    return [schema_changes.SchemaChange(**row) for row in sorted(rows, key=lambda row: (row["seen_at"], row["column"] or ""))]


@lru_cache(maxsize=64)
def _form(table: Table) -> Form:
    return Form(table)


@lru_cache(maxsize=64)
def _decoder(table: Table, placeholders: tuple[str, ...], source_schema: str) -> Decoder:
    return Decoder(table, placeholders, source_schema)


def light(words: list[str]) -> Callable[[Settings], RefineResult]:
    """What refines the one named table once; ValueError where the words are not one table."""
    if len(words) != 1 or words[0] not in [table.name for table in tables.SOURCES]:
        raise ValueError(f"name one table: {', '.join(table.name for table in tables.SOURCES)}")
    return lambda settings: run(Lake(settings), words[0])
