"""Rebuild one source table from bronze: all of it, given keys, or the keys that changed on given days.

The table's checkpoint is the version of bronze up to which the table is complete. A rebuild writes rows as of the version it read at its
start, and a refine may have advanced the checkpoint since: so the checkpoint is moved back to that version before the write, and a
concurrent refine fails to advance it. The next refine reads later versions again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import arguments, platform_tables, tables
from lakehouse import keys as named
from lakehouse.contract import Table
from lakehouse.errors import EbapError, retry
from lakehouse.lake import catalog, commits, maintenance, replacement, state, storage, stored_schema
from lakehouse.lake.state import NO_CHECKPOINT, TableState
from lakehouse.settings import Settings
from lakehouse.silver import heavy_batch, sweep
from lakehouse.silver.refine import bronze_replaced
from lakehouse.transforms.heavy import decoding, folding, routing
from lakehouse.transforms.heavy.folding import Incoming
from lakehouse.transforms.records.truncates import Truncate, merged
from lakehouse.verbs import Call

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class RebuildResult:
    """Result of a rebuild: records of the table it read, keys rebuilt (None for all), whether silver changed, bronze version read."""

    table: str
    records: int
    keys: int | None
    changed: bool
    bronze_version: int


@dataclass(frozen=True, kw_only=True)
class _Rebuilt:
    """The new stored changes of the keys `wanted` (None for all), computed from `batch` and `truncates`."""

    table: Table
    batch: heavy_batch.Batch
    truncates: tuple[Truncate, ...]
    rows: DataFrame
    wanted: DataFrame | None


def run(
    spark: SparkSession, settings: Settings, table_name: str, keys: list[str] | None = None, days: tuple[date, date] | None = None
) -> RebuildResult:
    """Rebuild the table, or only these keys of it, or the keys changed on these UTC days (both inclusive).

    `keys` are texts as `lakehouse.keys` reads them. Raises EbapError.
    """
    table = stored_schema.effective(spark, tables.source(table_name))
    requested = named.frame(spark, table, keys) if keys else None
    # The state first: its checkpoint is never beyond a version that is read after it.
    known, version = state.store(settings).read(table), storage.bronze_version(spark)
    if requested is not None or days:
        _refuse_partial(spark, table, known, version)
    with heavy_batch.clear_errors(table), heavy_batch.batch_of(spark, settings, table, NO_CHECKPOINT, version) as batch:
        storage.append_quarantine(spark, heavy_batch.quarantine_rows(decoding.bad(batch.decoded)))
        wanted = _changed_on(table, batch.decoded, days) if days else requested
        rows = _folded(spark, settings, table, batch, known, wanted)
        truncates = merged(known.truncates, batch.truncates)
        changed = _written(spark, settings, _Rebuilt(table=table, batch=batch, truncates=truncates, rows=rows, wanted=wanted))
        sweep.settle(spark, settings, table, batch.forgotten)
    count = None if wanted is None else wanted.count()
    return RebuildResult(table=table.name, records=batch.records, keys=count, changed=changed, bronze_version=version)


def _refuse_partial(spark: SparkSession, table: Table, known: TableState, version: int) -> None:
    """Raise EbapError if rebuilt keys would not be consistent with the others: only the whole table can be rebuilt."""
    if known.bronze_version > version:
        raise bronze_replaced(table, known.bronze_version, version)
    _, fault = stored_schema.judged(spark, table)
    if fault:
        raise EbapError(fault)


def _changed_on(table: Table, decoded: DataFrame, days: tuple[date, date]) -> DataFrame:
    """Keys that have a change in bronze committed on one of these days."""
    begin, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (days[0], days[1] + timedelta(days=1)))
    is_within = (F.col("_commit_at") >= F.lit(begin)) & (F.col("_commit_at") < F.lit(end))
    return decoded.where(is_within).select(*table.key).dropna().distinct().localCheckpoint()


def _folded(
    spark: SparkSession, settings: Settings, table: Table, batch: heavy_batch.Batch, known: TableState, wanted: DataFrame | None
) -> DataFrame:
    """The stored form of the wanted keys, computed: the write may be retried and must be short."""
    kept = _missing_in_bronze(spark, table, batch.decoded)
    incoming = heavy_batch.incoming(table, batch, known, heavy_batch.waiting(spark, settings, table, batch))
    if wanted is not None:
        own = partial(_of_keys, table, _with_linked(table, incoming, kept, wanted))
        blocked = None if incoming.blocked is None else own(incoming.blocked)
        incoming, kept = replace(incoming, changes=own(incoming.changes), blocked=blocked), None if kept is None else own(kept)
    rows, contested = folding.fold_all(incoming, kept)
    heavy_batch.quarantine_beaten(spark, settings, table, batch, contested)
    return (rows if wanted is None else _of_keys(table, wanted, rows)).localCheckpoint()


def _with_linked(table: Table, incoming: Incoming, kept: DataFrame | None, wanted: DataFrame) -> DataFrame:
    """The wanted keys with all keys that key changes link to them, directly or indirectly: a row's history spans them."""
    linked = routing.links(incoming.changes, table)
    if kept is not None:
        linked |= routing.links(kept, table)
    return routing.with_linked(wanted, table, linked).localCheckpoint()


def _missing_in_bronze(spark: SparkSession, table: Table, decoded: DataFrame) -> DataFrame | None:
    """Stored changes that bronze no longer holds, if old days were removed from it; None if bronze is complete.

    Compared change by change: bronze is removed by landing day, and positions do not follow that order.
    """
    compacted = maintenance.compaction(spark, storage.BRONZE)
    if compacted is None or compacted.first_landed_on is None:
        return None
    # Decoded changes include unreadable ones: those are quarantined, and their stored changes are not kept.
    identity = list(platform_tables.stored(table).key)
    kept = storage.read_silver_changes(spark, table).join(decoded.select(*identity), on=identity, how="left_anti").localCheckpoint()
    print(
        f"{table.full_name}: bronze holds no days before {compacted.first_landed_on}; the {kept.count()} stored changes that it no "
        "longer holds are kept"
    )
    return kept


def _of_keys(table: Table, wanted: DataFrame, rows: DataFrame) -> DataFrame:
    return rows.join(wanted, on=list(table.key), how="left_semi")


def _written(spark: SparkSession, settings: Settings, rebuilt: _Rebuilt) -> bool:
    """Write, retried after conflicts, and set the checkpoint; whether silver changed. ConflictError if every try conflicts."""
    if rebuilt.wanted is None and not stored_schema.has_columns(spark, platform_tables.stored(rebuilt.table)):
        return _reshaped(spark, settings, rebuilt)
    changed = retry(partial(_write_held, spark, settings, rebuilt))
    if rebuilt.wanted is None:
        stored_schema.remember(spark, rebuilt.table)
        _move_checkpoint(settings, rebuilt, _reached)
    elif state.store(settings).read(rebuilt.table).bronze_version > rebuilt.batch.version:
        # A refine that found nothing new in the old rows advanced the checkpoint between the two.
        _move_checkpoint(settings, rebuilt, _held)
    return changed


def _write_held(spark: SparkSession, settings: Settings, rebuilt: _Rebuilt) -> bool:
    read_at = storage.silver_version(spark, rebuilt.table)
    _move_checkpoint(settings, rebuilt, _held)
    # The commit carries the checkpoint that was read: a later state may depend on rows that this commit removes.
    return _write(spark, rebuilt, read_at, state.store(settings).read(rebuilt.table).checkpoint())


def _reshaped(spark: SparkSession, settings: Settings, rebuilt: _Rebuilt) -> bool:
    """Write the table with its declared columns; refine refuses the old columns, so there is no concurrent writer."""
    _move_checkpoint(settings, rebuilt, _held)
    checkpoint = state.store(settings).read(rebuilt.table).checkpoint()
    stored = platform_tables.stored(rebuilt.table)
    with commits.commit(spark, stored.full_name, checkpoint):
        stored_schema.replace_whole(_as_of_now(spark, rebuilt.rows), stored)
    stored_schema.remember(spark, rebuilt.table)
    catalog.make_views(spark)
    _move_checkpoint(settings, rebuilt, _reached)
    return True


def _move_checkpoint(settings: Settings, rebuilt: _Rebuilt, to: Callable[[_Rebuilt, TableState], TableState]) -> None:
    """Write the state that `to` derives from the current one; a refine that has read it before fails to advance it."""
    store = state.store(settings)
    retry(lambda: store.advance(before := store.read(rebuilt.table), to(rebuilt, before)))


def _held(rebuilt: _Rebuilt, known: TableState) -> TableState:
    """Not beyond the version that was read."""
    batch = rebuilt.batch
    if known.bronze_version <= batch.version:
        return known
    # A truncate that a refine has read since must be applied again to the rebuilt keys.
    return replace(known, bronze_version=batch.version, complete_to=batch.complete_to or known.complete_to, truncates=rebuilt.truncates)


def _reached(rebuilt: _Rebuilt, known: TableState) -> TableState:
    """At the version that was read."""
    batch = rebuilt.batch
    return TableState(
        table_name=rebuilt.table.full_name,
        bronze_version=batch.version,
        complete_to=batch.complete_to or known.complete_to,
        updated_at=datetime.now(UTC),
        records=batch.records,
        quarantined=batch.quarantined,
        truncates=rebuilt.truncates,
    )


def _write(spark: SparkSession, rebuilt: _Rebuilt, read_at: int, checkpoint: Mapping[str, Any]) -> bool:
    """Replace the rows stored at that version; no commit if nothing differs."""
    table, key = rebuilt.table, list(rebuilt.table.key)
    whole = storage.read_silver_changes(spark, table)
    stored = whole if rebuilt.wanted is None else _of_keys(table, rebuilt.wanted, whole)
    differing = _differing(rebuilt.rows.drop("_run"), stored.drop("_run")).select(*key).distinct().localCheckpoint()
    if differing.isEmpty():
        return False
    rows = _as_of_now(spark, rebuilt.rows)
    if rebuilt.wanted is None:
        replacement.replace_all(spark, table, rows, read_at, checkpoint)
    elif not differing.join(rows, on=key, how="left_anti").isEmpty():
        # A deleted key leaves no row with a new `_run`: gold recomputes everything once every row has it.
        others = _as_of_now(spark, whole.join(rebuilt.wanted, on=key, how="left_anti"))
        replacement.replace_all(spark, table, others.unionByName(rows).localCheckpoint(), read_at, checkpoint)
    else:
        fresh = rows.join(differing, on=key, how="left_semi").withColumn(replacement.IS_DELETED, F.lit(False))
        deleted = stored.join(rebuilt.rows, on=list(platform_tables.stored(table).key), how="left_anti").withColumn(
            replacement.IS_DELETED, F.lit(True)
        )
        # MERGE reads its source twice.
        replacement.replace_some(spark, table, fresh.unionByName(deleted).localCheckpoint(), read_at, checkpoint)
    return True


def _differing(mine: DataFrame, stored: DataFrame) -> DataFrame:
    theirs = stored.select(*mine.columns)
    return mine.exceptAll(theirs).unionByName(theirs.exceptAll(mine))


def _as_of_now(spark: SparkSession, rows: DataFrame) -> DataFrame:
    """The rows with the current `_run`: gold reads rows whose run is not older than the newest it has consumed."""
    return rows.withColumn("_run", F.lit(storage.bronze_version(spark)).cast("BIGINT"))


def parse(argv: list[str]) -> Call:
    """The call that rebuilds the named table, or some keys of it, once."""
    parser = argparse.ArgumentParser(prog="rebuild", description="Rebuild a silver table, or some keys of it, from bronze.")
    arguments.rebuild(parser)
    return call(parser.parse_args(argv))


def call(parsed: argparse.Namespace) -> Call:
    """The call for the parsed arguments; EbapError if the days are not one or two, in order."""
    return partial(run, table_name=parsed.table, keys=parsed.keys, days=arguments.days_of(parsed))
