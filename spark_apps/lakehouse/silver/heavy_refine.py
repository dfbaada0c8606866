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
    """Take what bronze landed since the table's mark; does nothing, quickly, where it landed nothing or the table is paused."""
    table = tables.source(table_name)
    mark, now = state.store(settings).read(table), storage.bronze_version(spark)
    consumed = mark.bronze_version
    if consumed == now:
        return RefineResult(table=table.name, records=0, changed=False, quarantined=0, bronze_version=now)
    paused = mark.pause_notice
    if paused:
        print(paused)
        return RefineResult(table=table.name, records=0, changed=False, quarantined=0, bronze_version=consumed, paused=paused)
    table = _admitted(spark, settings, table, mark)
    with heavy_batch.clear_errors(table), heavy_batch.batch_of(spark, settings, table, consumed, now) as batch:
        made = _reached(table, batch, mark)
        changed = batch.records > 0 and _apply(spark, settings, table, batch, mark, made)
        if batch.records:
            sweep.settle(spark, settings, table, batch.forgotten)
        state.store(settings).advance(mark, made)
        return RefineResult(
            table=table.name, records=batch.records, changed=changed, quarantined=batch.quarantined, bronze_version=batch.version
        )


def _apply(spark: SparkSession, settings: Settings, table: Table, batch: heavy_batch.Batch, mark: TableState, reached: TableState) -> bool:
    """Write quarantine, and the difference to silver with the checkpoint of `reached`; whether silver changed."""
    if batch.quarantined:
        storage.append_quarantine(spark, heavy_batch.quarantine_rows(decoding.bad(batch.decoded)))
    read_at = storage.silver_version(spark, table)
    stored = storage.read_silver_changes(spark, table)
    brought = heavy_batch.incoming(table, batch, mark, heavy_batch.waiting(spark, settings, table, batch))
    touched = brought.changes.select(*table.key)
    if batch.quarantined:
        touched = touched.union(decoding.blocked(batch.decoded, table).select(*table.key))
    # A truncate is of every key, and a key change leads to keys beyond those the batch names.
    is_truncated = bool(heavy_batch.new_truncates(batch, mark))
    bounds = None if is_truncated or batch.has_links else batch.bounds
    if is_truncated:
        touched = touched.union(stored.where("_last").select(*table.key))
    near = F.col(table.key[0]).between(*bounds) if bounds else None
    made = folding.difference(brought, touched.distinct(), stored, near)
    if made.contested:
        heavy_batch.quarantine_beaten(spark, settings, table, batch, made.contested)
    if not made.rows:
        return False
    near_only = bounds if made.is_near else None
    storage.merge_silver(spark, table, made.rows, made.is_only_last, near_only, read_at, reached.checkpoint())
    return True


def _admitted(spark: SparkSession, settings: Settings, table: Table, mark: TableState) -> Table:
    """The declaration by which the stored table takes changes, unless its own change or one of the source's schema stops it."""
    made, message = heavy_batch.admitted(spark, settings, table)
    if message:
        _stop(settings, table, mark, message)
    return made


def _stop(settings: Settings, table: Table, mark: TableState, message: str) -> NoReturn:
    """Raise EbapError, noted in the table's state so that everybody sees why it stands."""
    if mark.error != message:
        state.store(settings).stop(table, message)
    raise EbapError(message)


def _reached(table: Table, batch: heavy_batch.Batch, mark: TableState) -> TableState:
    """The state that the run leads to from where it began."""
    return TableState(
        table_name=table.full_name,
        bronze_version=batch.version,
        complete_to=max((at for at in (mark.complete_to, batch.complete_to) if at), default=None),
        updated_at=datetime.now(UTC),
        records=batch.records,
        quarantined=batch.quarantined,
        truncates=merged(mark.truncates, batch.truncates),
    )


def parse(argv: list[str]) -> Call:
    """What refines the one named table once; EbapError where the arguments are not one table."""
    return partial(run, table_name=arguments.one_source(argv))
