"""Refine one source table: what bronze landed since the table's mark becomes its history in silver.

Does: reads bronze by version, sends what cannot be read to quarantine, folds the rest, writes one MERGE, moves the mark.
Runs: from Airflow for each table, over the warm server; by spark-submit too: `refine.py TABLE`.
Safe to run again: each write repeats to nothing, so a crash between two of them costs only the repetition.
When it fails: the mark stays, and the next run takes up the same changes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from pyspark.sql import functions as F

from lakehouse import controls, delta, erasure_store, erasures, schema_changes, shapes, storage, tables, truncates, verb
from lakehouse.contract import KAFKA_HEADERS, Table
from lakehouse.erasure_store import Forgotten
from lakehouse.ledger import HEARTBEAT
from lakehouse.settings import Settings
from lakehouse.transforms import envelope, history
from lakehouse.transforms.history import Incoming
from lakehouse.transforms.ordering import TRUNCATE
from lakehouse.truncates import Truncate

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_WHOLE_NUMBERS = ("BIGINT", "INT", "SMALLINT")
NO_MARK = -1


class RefineError(RuntimeError):
    """A table that cannot be refined; the message names it and the cure. Its mark has not moved."""


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


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The records of one run: decoded and kept in memory, and what is to be known of them before they are folded."""

    decoded: DataFrame
    version: int
    records: int
    quarantined: int
    truncates: tuple[Truncate, ...]
    has_links: bool
    bounds: tuple[int, int] | None
    complete_to: datetime | None
    forgotten: Forgotten


def run(spark: SparkSession, settings: Settings, table_name: str) -> RefineResult:
    """Take what bronze landed since the table's mark; does nothing, quickly, where it landed nothing or the table is paused."""
    table = tables.source(table_name)
    mark, now = storage.progress(spark, table.name), storage.bronze_version(spark)
    consumed = mark.bronze_version if mark else NO_MARK
    if consumed == now:
        return RefineResult(table=table.name, records=0, changed=False, quarantined=0, bronze_version=now)
    paused = controls.notice(spark, table)
    if paused:
        print(paused)
        return RefineResult(table=table.name, records=0, changed=False, quarantined=0, bronze_version=consumed, paused=paused)
    table = _admitted(spark, table, mark)
    with clear_errors(table), batch_of(spark, settings, table, consumed, now) as batch:
        changed = batch.records > 0 and _apply(spark, settings, table, batch, mark)
        return _finish(spark, table, batch, changed, mark)


@contextmanager
def batch_of(spark: SparkSession, settings: Settings, table: Table, consumed: int, now: int) -> Iterator[Batch]:
    """The records of the table in bronze versions after `consumed`, up to `now`."""
    if consumed > now:
        refuse_replaced_bronze(table, consumed, now)
    landed = storage.read_bronze(spark, now) if consumed == NO_MARK else storage.read_changes_feed(spark, consumed + 1, now)
    forgotten = erasure_store.forgotten(spark, table)
    taken = decoded(spark, settings, table, landed.where(F.col("source_table") == table.name), forgotten).persist()
    try:
        yield _surveyed(taken, landed, table, now, forgotten)
    finally:
        taken.unpersist()


def decoded(spark: SparkSession, settings: Settings, table: Table, landed: DataFrame, forgotten: Forgotten) -> DataFrame:
    """The table's records as `envelope.decode` reads them, with every placeholder the lake knows, and without those of forgotten keys."""
    source = storage.source_identity(spark)
    read = envelope.decode(landed, table, source.placeholders if source else (), settings.source_schema)
    return erasures.kept_out(spark, table, read, forgotten)


def fold_in(
    spark: SparkSession, settings: Settings, table: Table, readable: DataFrame, landed: DataFrame, version: int, forgotten: Forgotten
) -> bool:
    """Fold decoded records without a fault into the table as a run does, and leave its mark where it stands; whether silver changed.

    `landed`: the same records as landed. `version`: the bronze version as of which that is done.
    """
    mark, batch = storage.progress(spark, table.name), _surveyed(readable, landed, table, version, forgotten)
    changed = _apply(spark, settings, table, batch, mark)
    if mark and _new_truncates(batch, mark):
        storage.move_progress(spark, mark, replace(mark, truncates=truncates.merged(mark.truncates, batch.truncates)))
    return changed


def refuse_replaced_bronze(table: Table, consumed: int, now: int) -> None:
    """Raise RefineError: the table has consumed more of bronze than there is."""
    raise RefineError(
        f"{table.full_name} has consumed version {consumed} of {storage.BRONZE}, which is only at {now}: bronze was replaced. "
        f"Run `python -m lakehouse rebuild {table.name}`."
    )


def _surveyed(decoded: DataFrame, landed: DataFrame, table: Table, version: int, forgotten: Forgotten) -> Batch:
    first = F.col(table.key[0])
    counted = decoded.agg(
        F.count(F.lit(1)).alias("records"),
        F.count("_reason").alias("quarantined"),
        truncates.found().alias("truncates"),
        F.count("_linked_key").alias("links"),
        F.min(first).alias("least"),
        F.max(first).alias("greatest"),
    )
    # The heartbeat says how far a quiet table is complete; no table can be complete beyond the moment it landed.
    told = landed.where(F.col("source_table").isin(table.name, HEARTBEAT) & F.col("lsn").isNotNull())
    complete = told.agg(F.max(F.least("commit_at", "_landed_at")).alias("complete_to"))
    survey = counted.crossJoin(complete).first()
    assert survey is not None  # aggregates without groups are always one row
    is_bounded = table.column(table.key[0]).type in _WHOLE_NUMBERS and survey["least"] is not None
    return Batch(
        decoded=decoded,
        version=version,
        records=survey["records"],
        quarantined=survey["quarantined"],
        truncates=truncates.of(survey["truncates"]),
        has_links=survey["links"] > 0,
        bounds=(survey["least"], survey["greatest"]) if is_bounded else None,
        complete_to=survey["complete_to"].astimezone(UTC) if survey["complete_to"] else None,
        forgotten=forgotten,
    )


def _apply(spark: SparkSession, settings: Settings, table: Table, batch: Batch, mark: storage.Progress | None) -> bool:
    """Write quarantine and the difference to silver; whether silver changed."""
    if batch.quarantined:
        storage.append_quarantine(spark, quarantine_rows(envelope.bad(batch.decoded)))
    read_at = storage.silver_version(spark, table)
    stored = storage.read_silver_changes(spark, table)
    brought = incoming(spark, table, batch, mark, _waiting(spark, settings, table, batch))
    touched = brought.changes.select(*table.key)
    if batch.quarantined:
        touched = touched.union(envelope.blocked(batch.decoded, table).select(*table.key))
    # A truncate is of every key, and a key change leads to keys beyond those the batch names.
    is_truncated = bool(_new_truncates(batch, mark))
    bounds = None if is_truncated or batch.has_links else batch.bounds
    if is_truncated:
        touched = touched.union(stored.where("_last").select(*table.key))
    near = F.col(table.key[0]).between(*bounds) if bounds else None
    made = history.difference(brought, touched.distinct(), stored, near)
    if made.contested:
        quarantine_beaten(spark, settings, table, batch, made.contested)
    if not made.rows:
        return False
    storage.merge_silver(spark, table, made.rows, made.is_only_last, bounds if made.is_near else None, read_at)
    return True


def incoming(spark: SparkSession, table: Table, batch: Batch, mark: storage.Progress | None, blocked: DataFrame | None) -> Incoming:
    """What the batch brings, with every truncate that the mark or the batch knows of."""
    every = truncates.merged(mark.truncates if mark else (), batch.truncates)
    return Incoming(
        table=table,
        changes=envelope.good(batch.decoded).where(F.col("_kind") != TRUNCATE),
        run=batch.version,
        has_links=batch.has_links,
        blocked=blocked,
        truncates=truncates.of_keys(spark, table, every, _new_truncates(batch, mark)),
    )


def _new_truncates(batch: Batch, mark: storage.Progress | None) -> list[Truncate]:
    known = {truncate.place for truncate in (mark.truncates if mark else ())}
    return [truncate for truncate in batch.truncates if truncate.place not in known]


def quarantine_beaten(spark: SparkSession, settings: Settings, table: Table, batch: Batch, contested: DataFrame) -> None:
    """Enter the records that came with another's identity and the lesser content hash, whether they came now or in an earlier run."""
    wanted = {row["_lsn"] for row in contested.select("_lsn").distinct().collect()}
    if not wanted:
        return
    landed = storage.read_bronze(spark, batch.version).where((F.col("source_table") == table.name) & F.col("lsn").isin(wanted))
    again = decoded(spark, settings, table, landed, batch.forgotten)
    winners = contested.withColumnRenamed("_content_hash", "_winner")
    place = [*table.key, "_epoch", "_lsn", "_kind"]
    beaten = envelope.good(again).join(F.broadcast(winners), on=place, how="inner").where("_content_hash <> _winner")
    told = {"_reason": F.lit("conflicting_duplicate"), "_detail": F.lit("another record of this change has the greater content hash")}
    storage.append_quarantine(spark, quarantine_rows(envelope.bad(beaten.withColumns(told))))


def _waiting(spark: SparkSession, settings: Settings, table: Table, batch: Batch) -> DataFrame | None:
    """Keys and positions of the table's records that wait in quarantine, from this run and earlier ones; None where none does."""
    earlier = storage.read_quarantine(spark, table).where("replayed_at IS NULL")
    if earlier.isEmpty():
        return None
    source = storage.source_identity(spark)
    as_landed = earlier.withColumns({"headers": F.lit(None).cast(KAFKA_HEADERS), "epoch": F.lit(source.epoch if source else 1)})
    # Positions are read again from the bytes: quarantine keeps what was received, not what was made of it.
    # Also one that could be read by now: it waits until it is replayed.
    placed = envelope.waiting(as_landed, table, source.placeholders if source else (), settings.source_schema)
    # A few rows, worked out here: their parsing inside the fold's plan would double its size, and the time to compile it.
    waiting = placed.localCheckpoint()
    return waiting.unionByName(envelope.blocked(batch.decoded, table)) if batch.quarantined else waiting


def quarantine_rows(bad: DataFrame) -> DataFrame:
    """The faulty rows with the times that quarantine keeps of them."""
    times = {"first_seen_at": F.current_timestamp(), "replayed_at": F.lit(None).cast("TIMESTAMP")}
    return bad.withColumns(times)


def _admitted(spark: SparkSession, table: Table, mark: storage.Progress | None) -> Table:
    """The declaration by which the stored table takes changes, unless its own change or one of the source's schema stops it."""
    made, message = shapes.judged(spark, table)
    message = message or schema_changes.stop(spark, table)
    if message:
        _stop(spark, table, mark, message)
    return made


def _stop(spark: SparkSession, table: Table, mark: storage.Progress | None, message: str) -> NoReturn:
    """Raise RefineError, noted in the table's progress so that everybody sees why it stands."""
    if mark is None or mark.error != message:
        stopped = mark or storage.Progress(
            source_table=table.name, bronze_version=NO_MARK, complete_to=None, refined_at=datetime.now(UTC), records=0, quarantined=0
        )
        storage.write_progress(spark, replace(stopped, error=message))
    raise RefineError(message)


def _finish(spark: SparkSession, table: Table, batch: Batch, changed: bool, mark: storage.Progress | None) -> RefineResult:
    """Move the table's mark from where this run found it to what the run consumed."""
    if batch.records:
        erasures.settle(spark, table, batch.forgotten)
    told = [at for at in (mark.complete_to if mark else None, batch.complete_to) if at]
    made = storage.Progress(
        source_table=table.name,
        bronze_version=batch.version,
        complete_to=max(told, default=None),
        refined_at=datetime.now(UTC),
        records=batch.records,
        quarantined=batch.quarantined,
        truncates=truncates.merged(mark.truncates if mark else (), batch.truncates),
    )
    storage.move_progress(spark, mark, made)
    return RefineResult(
        table=table.name, records=batch.records, changed=changed, quarantined=batch.quarantined, bronze_version=batch.version
    )


@contextmanager
def clear_errors(table: Table) -> Iterator[None]:
    """Say what the errors mean that an operator can do something about."""
    rebuild_it = f"Run `python -m lakehouse rebuild {table.name}`."
    try:
        yield
    except storage.StorageError as error:
        raise RefineError(str(error)) from error
    except RefineError:
        raise
    except Exception as error:  # see delta: its class depends on the kind of session
        if delta.is_gone(error):
            raise RefineError(f"{table.full_name}: the versions of {storage.BRONZE} behind its mark are gone. {rebuild_it}") from error
        if delta.is_overtaken(error):
            raise RefineError(f"another refine of {table.name}, or its compaction, committed first; run it again") from error
        raise


def asked(words: list[str]) -> verb.Call:
    """What refines the one named table once; ValueError where the words are not one table."""
    if len(words) != 1 or words[0] not in [table.name for table in tables.SOURCES]:
        raise ValueError(f"name one table: {', '.join(table.name for table in tables.SOURCES)}")
    return partial(run, table_name=words[0])


if __name__ == "__main__":
    verb.main("refine", asked, sys.argv[1:])
