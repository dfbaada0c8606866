"""Refine one source table in this process: fold what bronze received since the checkpoint into its history in silver.

Decodes the records, quarantines those that cannot be used, folds the rest with the stored rows of their keys, and writes the difference
and the checkpoint in one commit. Raises `TooLargeError` for work that Spark must do: many records, a whole table, records of forgotten
people. Each write is idempotent, so a run that crashed between two of them is repeated.
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

_NUMBER = "commit"  # key of the state's inputs: the number of the newest commit, see `StoredChanges.replace`


@dataclass(frozen=True, kw_only=True)
class RefineResult:
    """Result of a run: records of the table it read, whether silver changed, records quarantined, bronze version consumed.

    `paused`: pause notice of the table with the cure, if records landed and were not refined because of it.
    """

    table: str
    records: int
    changed: bool
    quarantined: int
    bronze_version: int
    paused: str | None = None


def run(lake: Lake, table_name: str) -> RefineResult:
    """Refine what landed in bronze since the table's checkpoint; returns at once if there is nothing or the table is paused.

    Raises EbapError, and TooLargeError if the work requires Spark.
    """
    table = tables.source(table_name)
    return tried(table, lambda: _run(lake, table))


def tried(table: Table, do: Callable[[], T]) -> T:
    """Result of `do`, retried after a conflict; EbapError if a version of bronze is missing."""
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
    """Write what landed since the batch's initial state, then the new state."""
    lake, table, known, landed = batch.lake, batch.table, batch.known, batch.landed
    increment = bronze.increment(lake, table, known.bronze_version, landed)
    decoded = batch.decode(increment.records)
    reached = TableState(
        table_name=table.full_name,
        bronze_version=landed.version,
        inputs=known.inputs,
        truncates=merged(known.truncates, decoded.truncates),
        complete_to=max((at for at in (known.complete_to, increment.complete_to) if at), default=None),
        updated_at=datetime.now(UTC),
        records=decoded.records,
        quarantined=len(decoded.faults),
    )
    number = batch.apply(decoded, reached) if decoded.records else None
    if decoded.records:
        batch.refuse_overtaken()
    lake.states.advance(known, reached if number is None else replace(reached, inputs={_NUMBER: number}))
    return RefineResult(
        table=table.name,
        records=decoded.records,
        changed=number is not None,
        quarantined=len(decoded.faults),
        bronze_version=landed.version,
    )


def _is_ahead(lake: Lake, table: Table, known: TableState) -> bool:
    """Whether the state refers to a commit that is not in the table's log: on a local disk a commit of Spark's can overwrite it."""
    return lake.snapshot(platform_tables.stored(table)).txns.get(platform_tables.writer_of(table), 0) < known.inputs.get(_NUMBER, 0)


def bronze_gone(table: Table) -> EbapError:
    """The error of a table that has not consumed versions of bronze which were vacuumed."""
    what = f"{table.full_name}: versions of {platform_tables.CHANGES.full_name} after its checkpoint were deleted"
    return EbapError(what, _rebuild(table))


def bronze_replaced(table: Table, consumed: int, now: int) -> EbapError:
    """The error of a table whose checkpoint is beyond bronze's newest version."""
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
    """The effective declaration of the stored table; EbapError if a change of it or of the source's schema stops the table."""
    stored = lake.snapshot(platform_tables.stored(table))
    types = {field.name: field.type for field in stored.schema}
    effective, message = stored_schema.judge(table, types, stored.configuration.get("ebap.shape"))
    message = message or SchemaLog(lake).stop(table)
    if message:
        if known.error != message:
            lake.states.stop(table, message)
        raise EbapError(message)
    return effective


def light(argv: list[str]) -> Callable[[Settings], RefineResult]:
    """The call that refines the named table once; EbapError unless the arguments are one table."""
    name = arguments.one_source(argv)
    return lambda settings: run(Lake(settings), name)
