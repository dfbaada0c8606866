"""Refine one source table in this process: fold what bronze received since the checkpoint into its history in silver.

Decodes the records, sends those that cannot be used to quarantine, folds the rest with the rows of the keys that they touch, and writes
the difference and the checkpoint in one commit. Work for Spark is left to it (`TooLargeError`): many records, a whole table, records of
people whom the lake has forgotten. Each write repeats without effect, so a crash between two of them costs the repetition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from lakehouse import arguments, platform_tables, tables
from lakehouse.delta.errors import VersionGoneError
from lakehouse.errors import EbapError, TooLargeError, retry
from lakehouse.lake import checkpoints, stored_schema
from lakehouse.lake.lake import Lake
from lakehouse.lake.state import TableState
from lakehouse.silver import bronze
from lakehouse.silver.batch import Batch
from lakehouse.source.schema_log import SchemaLog
from lakehouse.transforms.records.truncates import merged

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.delta.log import Snapshot
    from lakehouse.settings import Settings

T = TypeVar("T")

_NUMBER = "commit"  # of the state's inputs: the number of the newest commit, see `StoredChanges.replace`


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

    Raises EbapError, and TooLargeError where a run by Spark is due.
    """
    table = tables.source(table_name)
    return tried(table, lambda: _run(lake, table))


def tried(table: Table, do: Callable[[], T]) -> T:
    """What `do` gives, tried again where another writer was first; EbapError where bronze is gone."""
    try:
        return retry(do)
    except VersionGoneError as error:
        raise bronze_gone(table) from error


def _run(lake: Lake, table: Table) -> RefineResult:
    known, landed = lake.states.read(table), lake.snapshot(platform_tables.CHANGES)
    nothing = RefineResult(table=table.name, records=0, changed=False, quarantined=0, bronze_version=known.bronze_version)
    if known.bronze_version == landed.version:
        return nothing
    if known.pause_notice:
        return replace(nothing, paused=known.pause_notice)
    if known.bronze_version > landed.version:
        raise bronze_replaced(table, known.bronze_version, landed.version)
    if not known.has_run or _is_ahead(lake, table, known):
        known = checkpoints.restored(lake.log(platform_tables.stored(table)), TableState.unknown(known))
    _refuse_large(lake, table, known, landed)
    admitted = admit(lake, table, known)
    return _taken(Batch(lake, admitted, known, landed))


def _taken(batch: Batch) -> RefineResult:
    """Write what landed since the state that the batch began from, then the state it leads to."""
    lake, table, known, landed = batch.lake, batch.table, batch.known, batch.landed
    increment = bronze.increment(lake, table, known.bronze_version, landed)
    decoded = batch.decode(increment.records)
    made = TableState(
        table_name=table.full_name,
        bronze_version=landed.version,
        inputs=known.inputs,
        truncates=merged(known.truncates, decoded.truncates),
        complete_to=max((at for at in (known.complete_to, increment.complete_to) if at), default=None),
        updated_at=datetime.now(UTC),
        records=decoded.records,
        quarantined=len(decoded.faults),
    )
    number = batch.apply(decoded, made) if decoded.records else None
    if decoded.records:
        batch.refuse_overtaken()
    lake.states.advance(known, made if number is None else replace(made, inputs={_NUMBER: number}))
    return RefineResult(
        table=table.name,
        records=decoded.records,
        changed=number is not None,
        quarantined=len(decoded.faults),
        bronze_version=landed.version,
    )


def _is_ahead(lake: Lake, table: Table, known: TableState) -> bool:
    """Whether the state rests on a commit that is not in the table's log: on a disk Spark can rename its own over one."""
    return lake.snapshot(platform_tables.stored(table)).txns.get(platform_tables.writer_of(table), 0) < known.inputs.get(_NUMBER, 0)


def bronze_gone(table: Table) -> EbapError:
    """The error of a table that has not taken versions of bronze which have been cleaned away."""
    return EbapError(f"{table.full_name}: the versions of {platform_tables.CHANGES.full_name} behind its mark are gone", _rebuild(table))


def bronze_replaced(table: Table, consumed: int, now: int) -> EbapError:
    """The error of a table that has consumed more of bronze than there is."""
    bronze_name = platform_tables.CHANGES.full_name
    what = f"{table.full_name} has consumed version {consumed} of {bronze_name}, which is only at {now}: bronze was replaced"
    return EbapError(what, _rebuild(table))


def _rebuild(table: Table) -> str:
    return f"run `python -m lakehouse rebuild {table.name}`"


def _refuse_large(lake: Lake, table: Table, known: TableState, landed: Snapshot) -> None:
    found, limit = bronze.count(lake, table, known.bronze_version, landed), lake.settings.light_records
    if found > limit:
        raise TooLargeError(f"{table.full_name}: {found} records landed, more than EBAP_LIGHT_RECORDS={limit}")


def admit(lake: Lake, table: Table, known: TableState) -> Table:
    """The declaration by which the stored table takes changes; EbapError where its own change or one of the source's schema stops it."""
    stored = lake.snapshot(platform_tables.stored(table))
    given = {field.name: field.type for field in stored.schema}
    made, message = stored_schema.judge(table, given, stored.configuration.get("ebap.shape"))
    message = message or SchemaLog(lake).stop(table)
    if message:
        if known.error != message:
            lake.states.stop(table, message)
        raise EbapError(message)
    return made


def light(argv: list[str]) -> Callable[[Settings], RefineResult]:
    """What refines the one named table once; EbapError where the arguments are not one table."""
    name = arguments.one_source(argv)
    return lambda settings: run(Lake(settings), name)
