"""Refine one source table by Spark: fold what bronze received since the table's checkpoint into its history in silver."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from pyspark.sql import functions as F

from lakehouse import arguments, tables
from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.lake import state, storage
from lakehouse.lake.state import TableState
from lakehouse.settings import Settings
from lakehouse.silver import heavy_batch, sweep
from lakehouse.silver.refine import RefineResult
from lakehouse.transforms.heavy import decoding, folding
from lakehouse.transforms.records.truncates import merged
from lakehouse.verbs import Call

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: SparkSession, settings: Settings, table_name: str) -> RefineResult:
    """Refine what landed in bronze since the table's checkpoint; returns at once if there is nothing or the table is paused."""
    table = tables.source(table_name)
    known, now = state.store(settings).read(table), storage.bronze_version(spark)
    consumed = known.bronze_version
    if consumed == now:
        return RefineResult(table=table.name, records=0, changed=False, quarantined=0, bronze_version=now)
    paused = known.pause_notice
    if paused:
        print(paused)
        return RefineResult(table=table.name, records=0, changed=False, quarantined=0, bronze_version=consumed, paused=paused)
    table = _admitted(spark, settings, table, known)
    with heavy_batch.clear_errors(table), heavy_batch.batch_of(spark, settings, table, consumed, now) as batch:
        reached = _reached(table, batch, known)
        changed = batch.records > 0 and _apply(spark, settings, table, batch, known, reached)
        if batch.records:
            sweep.settle(spark, settings, table, batch.forgotten)
        state.store(settings).advance(known, reached)
        return RefineResult(
            table=table.name, records=batch.records, changed=changed, quarantined=batch.quarantined, bronze_version=batch.version
        )


def _apply(spark: SparkSession, settings: Settings, table: Table, batch: heavy_batch.Batch, known: TableState, reached: TableState) -> bool:
    """Write quarantine, and the difference to silver with the checkpoint of `reached`; whether silver changed."""
    if batch.quarantined:
        storage.append_quarantine(spark, heavy_batch.quarantine_rows(decoding.bad(batch.decoded)))
    read_at = storage.silver_version(spark, table)
    stored = storage.read_silver_changes(spark, table)
    incoming = heavy_batch.incoming(table, batch, known, heavy_batch.waiting(spark, settings, table, batch))
    touched = incoming.changes.select(*table.key)
    if batch.quarantined:
        touched = touched.union(decoding.blocked(batch.decoded, table).select(*table.key))
    # A truncate affects every key, and a key change affects keys outside the batch's bounds.
    is_truncated = bool(heavy_batch.new_truncates(batch, known))
    bounds = None if is_truncated or batch.has_links else batch.bounds
    if is_truncated:
        touched = touched.union(stored.where("_last").select(*table.key))
    near = F.col(table.key[0]).between(*bounds) if bounds else None
    difference = folding.difference(incoming, touched.distinct(), stored, near)
    if difference.contested:
        heavy_batch.quarantine_beaten(spark, settings, table, batch, difference.contested)
    if not difference.rows:
        return False
    near_only = bounds if difference.is_near else None
    storage.merge_silver(spark, table, difference.rows, difference.is_only_last, near_only, read_at, reached.checkpoint())
    return True


def _admitted(spark: SparkSession, settings: Settings, table: Table, known: TableState) -> Table:
    """The effective declaration of the stored table; EbapError if a change of it or of the source's schema stops the table."""
    effective, message = heavy_batch.admitted(spark, settings, table)
    if message:
        _stop(settings, table, known, message)
    return effective


def _stop(settings: Settings, table: Table, known: TableState, message: str) -> NoReturn:
    """Record the message in the table's state, which status shows, and raise EbapError."""
    if known.error != message:
        state.store(settings).stop(table, message)
    raise EbapError(message)


def _reached(table: Table, batch: heavy_batch.Batch, known: TableState) -> TableState:
    """The state after the run."""
    return TableState(
        table_name=table.full_name,
        bronze_version=batch.version,
        complete_to=max((at for at in (known.complete_to, batch.complete_to) if at), default=None),
        updated_at=datetime.now(UTC),
        records=batch.records,
        quarantined=batch.quarantined,
        truncates=merged(known.truncates, batch.truncates),
    )


def parse(argv: list[str]) -> Call:
    """The call that refines the named table once; EbapError unless the arguments are one table."""
    return partial(run, table_name=arguments.one_source(argv))
