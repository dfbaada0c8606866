"""Replay of quarantine: after a fix, a table's waiting records are decoded again, and readable ones move into the table.

Silver is written before quarantine, so that a run that was interrupted in between can be repeated; a second run changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lakehouse import platform_tables, tables
from lakehouse.errors import TooLargeError
from lakehouse.lake.lake import Lake
from lakehouse.silver import quarantine
from lakehouse.silver.batch import Batch
from lakehouse.silver.refine import admit, tried
from lakehouse.transforms.records.truncates import merged

if TYPE_CHECKING:
    from lakehouse.contract import Table


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """Result of a run: records that were replayed, those that still wait, whether silver changed."""

    table: str
    replayed: int
    waiting: int
    changed: bool


def run(lake: Lake, table_name: str, reason: str | None = None) -> ReplayResult:
    """Replay the waiting records of the table, or those with that reason; its checkpoint does not move.

    Raises EbapError if a change of the declaration or of the source's schema stops the table; TooLargeError if there are records of
    forgotten people.
    """
    table = tables.source(table_name)
    return tried(table, lambda: _run(lake, table, reason))


def run_swept(lake: Lake, table_name: str, reason: str | None, sweep: Callable[[], object]) -> ReplayResult:
    """The same; if there are records of forgotten people, `sweep` removes them from the table and its quarantine before a second run."""
    try:
        return run(lake, table_name, reason)
    except TooLargeError as error:
        print(f"by Spark: {error}")
        sweep()
        return run(lake, table_name, reason)


def _run(lake: Lake, table: Table, reason: str | None) -> ReplayResult:
    known = lake.states.read(table)
    admitted = admit(lake, table, known)
    batch = Batch(lake, admitted, known, lake.snapshot(platform_tables.CHANGES))
    held = quarantine.Held(lake, table, reason)
    if not held.records:
        return ReplayResult(table=table.name, replayed=0, waiting=0, changed=False)
    landed = held.as_landed(batch.landed)
    decoded = batch.decode(landed)
    faults = {quarantine.place(fault.record): fault for fault in decoded.faults}
    readable = replace(decoded, faults=[])
    reached = replace(known, truncates=merged(known.truncates, decoded.truncates))
    changed = readable.records > 0 and batch.apply(readable, reached) is not None
    batch.refuse_overtaken()
    if known.has_run and reached.truncates != known.truncates:
        lake.states.advance(known, reached)
    held.settle(faults)
    return ReplayResult(table=table.name, replayed=len(landed) - len(faults), waiting=len(faults), changed=changed)
