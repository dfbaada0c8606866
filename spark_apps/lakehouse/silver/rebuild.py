"""Rebuild one source table from bronze: all of it, given keys, or the keys that changed on given days.

The mark says up to which version of bronze nothing is missing in the table. What is written here stands at the version that was read
when the rebuild began, and a refine may have come further since: so, before the write, the mark is taken back to that version, in a
way that a refine under way can no longer move it. What lies behind that version is taken again by the next refine.
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
from lakehouse.lake.state import TableState
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
    """What a rebuild did: records of the table it read, keys it made anew (None for all), whether silver changed, bronze version read."""

    table: str
    records: int
    keys: int | None
    changed: bool
    bronze_version: int


@dataclass(frozen=True, kw_only=True)
class _Anew:
    """What the stored changes are to be: of the keys `wanted`, or of all for None; made from `batch` and the `truncates` known then."""

    table: Table
    batch: heavy_batch.Batch
    truncates: tuple[Truncate, ...]
    rows: DataFrame
    wanted: DataFrame | None


def run(
    spark: SparkSession, settings: Settings, table_name: str, keys: list[str] | None = None, days: tuple[date, date] | None = None
) -> RebuildResult:
    """Make the table anew, or only those keys of it, or the keys changed on those UTC days (both inclusive).

    `keys` are texts as `lakehouse.keys` reads them. Raises EbapError.
    """
    table = stored_schema.effective(spark, tables.source(table_name))
    given = named.frame(spark, table, keys) if keys else None
    # The mark first: it is never beyond the version that is read after it.
    mark, version = state.store(settings).read(table), storage.bronze_version(spark)
    if given is not None or days:
        _refuse_partial(spark, table, mark, version)
    with heavy_batch.clear_errors(table), heavy_batch.batch_of(spark, settings, table, heavy_batch.NO_MARK, version) as batch:
        storage.append_quarantine(spark, heavy_batch.quarantine_rows(decoding.bad(batch.decoded)))
        wanted = _changed_on(table, batch.decoded, days) if days else given
        rows = _folded(spark, settings, table, batch, mark, wanted)
        known = merged(mark.truncates, batch.truncates)
        made = _Anew(table=table, batch=batch, truncates=known, rows=rows, wanted=wanted)
        changed = _written(spark, settings, made)
        sweep.settle(spark, settings, table, batch.forgotten)
    count = None if wanted is None else wanted.count()
    return RebuildResult(table=table.name, records=batch.records, keys=count, changed=changed, bronze_version=version)


def _refuse_partial(spark: SparkSession, table: Table, mark: TableState, version: int) -> None:
    """Raise EbapError where some keys made anew would not stand beside the others: only the whole table can be rebuilt."""
    if mark.bronze_version > version:
        raise bronze_replaced(table, mark.bronze_version, version)
    _, fault = stored_schema.judged(spark, table)
    if fault:
        raise EbapError(fault)


def _changed_on(table: Table, decoded: DataFrame, days: tuple[date, date]) -> DataFrame:
    """Keys that bronze holds a change of whose commit day is one of those."""
    begin, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (days[0], days[1] + timedelta(days=1)))
    is_within = (F.col("_commit_at") >= F.lit(begin)) & (F.col("_commit_at") < F.lit(end))
    return decoded.where(is_within).select(*table.key).dropna().distinct().localCheckpoint()


def _folded(
    spark: SparkSession, settings: Settings, table: Table, batch: heavy_batch.Batch, mark: TableState, wanted: DataFrame | None
) -> DataFrame:
    """The stored form of the wanted keys, worked out: the write may have to be tried again, and shall not take long."""
    kept = _gone_from_bronze(spark, table, batch.decoded)
    brought = heavy_batch.incoming(table, batch, mark, heavy_batch.waiting(spark, settings, table, batch))
    if wanted is not None:
        own = partial(_of_keys, table, _with_linked(table, brought, kept, wanted))
        blocked = None if brought.blocked is None else own(brought.blocked)
        brought, kept = replace(brought, changes=own(brought.changes), blocked=blocked), None if kept is None else own(kept)
    rows, contested = folding.fold_all(brought, kept)
    heavy_batch.quarantine_beaten(spark, settings, table, batch, contested)
    return (rows if wanted is None else _of_keys(table, wanted, rows)).localCheckpoint()


def _with_linked(table: Table, brought: Incoming, kept: DataFrame | None, wanted: DataFrame) -> DataFrame:
    """The wanted keys with all that key changes link them with, directly or through others: a row keeps its life across keys."""
    linked = routing.links(brought.changes, table)
    if kept is not None:
        linked |= routing.links(kept, table)
    return routing.with_linked(wanted, table, linked).localCheckpoint()


def _gone_from_bronze(spark: SparkSession, table: Table, decoded: DataFrame) -> DataFrame | None:
    """Stored changes that bronze no longer holds, where old days were removed from it; None where it holds all there ever was.

    Change by change: bronze is emptied by the day on which records landed, and positions do not follow that order.
    """
    compacted = maintenance.compaction(spark, storage.BRONZE)
    if compacted is None or compacted.first_landed_on is None:
        return None
    # Also what bronze holds and can no longer be read: that goes to quarantine, and not on as if it could.
    identity = list(platform_tables.stored(table).key)
    kept = storage.read_silver_changes(spark, table).join(decoded.select(*identity), on=identity, how="left_anti").localCheckpoint()
    print(
        f"{table.full_name}: bronze was emptied up to {compacted.first_landed_on}; the {kept.count()} stored changes that it no longer "
        "holds stay as they are"
    )
    return kept


def _of_keys(table: Table, wanted: DataFrame, rows: DataFrame) -> DataFrame:
    return rows.join(wanted, on=list(table.key), how="left_semi")


def _written(spark: SparkSession, settings: Settings, made: _Anew) -> bool:
    """Write once no other writer is first, and leave the mark right; whether silver changed. ConflictError where one always was."""
    if made.wanted is None and not stored_schema.has_columns(spark, platform_tables.stored(made.table)):
        return _reshaped(spark, settings, made)
    changed = retry(partial(_write_held, spark, settings, made))
    if made.wanted is None:
        stored_schema.remember(spark, made.table)
        _move_mark(settings, made, _reached)
    elif state.store(settings).read(made.table).bronze_version > made.batch.version:
        # A refine that found nothing new in the old rows moved the mark between the two.
        _move_mark(settings, made, _held)
    return changed


def _write_held(spark: SparkSession, settings: Settings, made: _Anew) -> bool:
    read_at = storage.silver_version(spark, made.table)
    _move_mark(settings, made, _held)
    # The commit says of itself no more than what was read: a later state may rest on rows that it takes away.
    return _write(spark, made, read_at, state.store(settings).read(made.table).checkpoint())


def _reshaped(spark: SparkSession, settings: Settings, made: _Anew) -> bool:
    """Write the table in the shape that its declaration has now; refine refuses the old one, so that nobody else writes it."""
    _move_mark(settings, made, _held)
    checkpoint = state.store(settings).read(made.table).checkpoint()
    stored = platform_tables.stored(made.table)
    with commits.commit(spark, stored.full_name, checkpoint):
        stored_schema.replace_whole(_as_of_now(spark, made.rows), stored)
    stored_schema.remember(spark, made.table)
    catalog.make_views(spark)
    _move_mark(settings, made, _reached)
    return True


def _move_mark(settings: Settings, made: _Anew, to: Callable[[_Anew, TableState], TableState]) -> None:
    """Write the state as `to` makes it of what it is; a refine that has read it before can no longer move it."""
    store = state.store(settings)
    retry(lambda: store.advance(before := store.read(made.table), to(made, before)))


def _held(made: _Anew, mark: TableState) -> TableState:
    """Not beyond the version that was read."""
    batch = made.batch
    if mark.bronze_version <= batch.version:
        return mark
    # A truncate that a refine has met since is news again to the keys that are made anew.
    return replace(mark, bronze_version=batch.version, complete_to=batch.complete_to or mark.complete_to, truncates=made.truncates)


def _reached(made: _Anew, mark: TableState) -> TableState:
    """At the version that was read."""
    batch = made.batch
    return TableState(
        table_name=made.table.full_name,
        bronze_version=batch.version,
        complete_to=batch.complete_to or mark.complete_to,
        updated_at=datetime.now(UTC),
        records=batch.records,
        quarantined=batch.quarantined,
        truncates=made.truncates,
    )


def _write(spark: SparkSession, made: _Anew, read_at: int, checkpoint: Mapping[str, Any]) -> bool:
    """Put the rows in the place of what is stored at that version; no commit where nothing differs."""
    table, key = made.table, list(made.table.key)
    whole = storage.read_silver_changes(spark, table)
    stored = whole if made.wanted is None else _of_keys(table, made.wanted, whole)
    differing = _differing(made.rows.drop("_run"), stored.drop("_run")).select(*key).distinct().localCheckpoint()
    if differing.isEmpty():
        return False
    rows = _as_of_now(spark, made.rows)
    if made.wanted is None:
        replacement.replace_all(spark, table, rows, read_at, checkpoint)
    elif not differing.join(rows, on=key, how="left_anti").isEmpty():
        # A key that is gone leaves no row to say so: gold looks everywhere once every row is of this run.
        others = _as_of_now(spark, whole.join(made.wanted, on=key, how="left_anti"))
        replacement.replace_all(spark, table, others.unionByName(rows).localCheckpoint(), read_at, checkpoint)
    else:
        fresh = rows.join(differing, on=key, how="left_semi").withColumn(replacement.IS_DELETED, F.lit(False))
        gone = stored.join(made.rows, on=list(platform_tables.stored(table).key), how="left_anti").withColumn(
            replacement.IS_DELETED, F.lit(True)
        )
        # MERGE reads its source twice.
        replacement.replace_some(spark, table, fresh.unionByName(gone).localCheckpoint(), read_at, checkpoint)
    return True


def _differing(mine: DataFrame, stored: DataFrame) -> DataFrame:
    theirs = stored.select(*mine.columns)
    return mine.exceptAll(theirs).unionByName(theirs.exceptAll(mine))


def _as_of_now(spark: SparkSession, rows: DataFrame) -> DataFrame:
    """The rows as of a run of now: gold looks for runs no older than the newest it has seen."""
    return rows.withColumn("_run", F.lit(storage.bronze_version(spark)).cast("BIGINT"))


def parse(argv: list[str]) -> Call:
    """What rebuilds the named table, or some keys of it, once."""
    parser = argparse.ArgumentParser(prog="rebuild", description="Rebuild a silver table, or some keys of it, from bronze.")
    arguments.rebuild(parser)
    return call(parser.parse_args(argv))


def call(given: argparse.Namespace) -> Call:
    """What does what the parsed arguments ask; EbapError where the days are none."""
    return partial(run, table_name=given.table, keys=given.keys, days=arguments.days_of(given))
