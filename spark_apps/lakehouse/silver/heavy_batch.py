"""A batch of one source table's records on Spark, for refine and rebuild: decoded, surveyed and ready for the fold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.lake import epochs, quarantined_records, storage, stored_schema
from lakehouse.lake.lake import Lake
from lakehouse.lake.state import NO_CHECKPOINT, TableState
from lakehouse.platform_tables import HEARTBEAT
from lakehouse.settings import Settings
from lakehouse.silver import erasure_list, sweep
from lakehouse.silver.erasure_list import Forgotten
from lakehouse.silver.refine import bronze_gone, bronze_replaced
from lakehouse.source.schema_log import SchemaLog
from lakehouse.spark import delta
from lakehouse.transforms.heavy import decoding
from lakehouse.transforms.heavy.folding import Incoming
from lakehouse.transforms.records.changes import TRUNCATE
from lakehouse.transforms.records.truncates import Truncate, merged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# A file of a table holds more keys than this.
_NARROWEST = 1 << 14
_WHOLE_NUMBERS = ("BIGINT", "INT", "SMALLINT")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The records of one run, decoded and kept in memory, with the statistics that the fold needs.

    `bounds`: range of the first key column, if that is a whole number; see `wide_bounds`.
    """

    decoded: DataFrame
    version: int
    records: int
    quarantined: int
    truncates: tuple[Truncate, ...]
    has_links: bool
    bounds: tuple[int, int] | None
    complete_to: datetime | None
    forgotten: Forgotten


@contextmanager
def batch_of(spark: SparkSession, settings: Settings, table: Table, consumed: int, now: int) -> Iterator[Batch]:
    """The records of the table in bronze versions after `consumed`, up to `now`."""
    if consumed > now:
        raise bronze_replaced(table, consumed, now)
    landed = storage.read_bronze(spark, now) if consumed == NO_CHECKPOINT else storage.read_changes_feed(spark, consumed + 1, now)
    forgotten = erasure_list.forgotten(spark, table)
    taken = decoded(spark, settings, table, landed.where(F.col("source_table") == table.name), forgotten).persist()
    try:
        yield surveyed(taken, landed, table, now, forgotten)
    finally:
        taken.unpersist()


def admitted(spark: SparkSession, settings: Settings, table: Table) -> tuple[Table, str | None]:
    """The effective declaration of the stored table, and the reason if a change of it or of the source's schema stops the table."""
    effective, message = stored_schema.judged(spark, table)
    return effective, message or SchemaLog(Lake(settings)).stop(table)


def decoded(
    spark: SparkSession, settings: Settings, table: Table, landed: DataFrame, forgotten: Forgotten, *, with_values: bool = False
) -> DataFrame:
    """The table's records decoded with every known placeholder for unavailable values, without data of forgotten keys."""
    source = epochs.source_identity(spark)
    placeholders = source.placeholders if source else ()
    # The value is needed to find data of forgotten keys.
    read = decoding.decode(landed, table, placeholders, settings.source_schema, with_values=with_values or bool(forgotten))
    return sweep.kept_out(spark, settings, table, read, forgotten)


def surveyed(decoded: DataFrame, landed: DataFrame, table: Table, version: int, forgotten: Forgotten) -> Batch:
    first = F.col(table.key[0])
    counted = decoded.agg(
        F.count(F.lit(1)).alias("records"),
        F.count("_reason").alias("quarantined"),
        decoding.truncates().alias("truncates"),
        F.count("_linked_key").alias("links"),
        F.min(first).alias("least"),
        F.max(first).alias("greatest"),
    )
    # Heartbeats advance a table without changes; completeness is limited to the time of landing.
    placed = landed.where(F.col("source_table").isin(table.name, HEARTBEAT) & F.col("lsn").isNotNull())
    complete = placed.agg(F.max(F.least("commit_at", "_landed_at")).alias("complete_to"))
    survey = counted.crossJoin(complete).first()
    assert survey is not None  # aggregates without groups are always one row
    is_bounded = table.column(table.key[0]).type in _WHOLE_NUMBERS and survey["least"] is not None
    return Batch(
        decoded=decoded,
        version=version,
        records=survey["records"],
        quarantined=survey["quarantined"],
        truncates=merged((), (Truncate(*row) for row in survey["truncates"])),
        has_links=survey["links"] > 0,
        bounds=wide_bounds(survey["least"], survey["greatest"]) if is_bounded else None,
        complete_to=survey["complete_to"].astimezone(UTC) if survey["complete_to"] else None,
        forgotten=forgotten,
    )


def wide_bounds(least: int, greatest: int) -> tuple[int, int]:
    """Bounds around these that many runs share: some ten thousand numbers wide, or at most three times as wide as these.

    Literals of a plan are compiled into its code: with bounds of its own each run would compile a megabyte of code again.
    """
    step = max(1 << (greatest - least).bit_length() - 1 if greatest > least else 1, _NARROWEST)
    return max(least // step * step, -(2**63)), min((greatest // step + 1) * step - 1, 2**63 - 1)


def incoming(table: Table, batch: Batch, known: TableState, blocked: DataFrame | None) -> Incoming:
    """Changes of the batch, with every truncate of the state `known` or of the batch."""
    every = merged(known.truncates, batch.truncates)
    return Incoming(
        table=table,
        changes=decoding.good(batch.decoded).where(F.col("_kind") != TRUNCATE),
        run=batch.version,
        has_links=batch.has_links,
        blocked=blocked,
        truncates=every,
        new_truncates=tuple(new_truncates(batch, known)),
    )


def new_truncates(batch: Batch, known: TableState) -> list[Truncate]:
    places = {truncate.place for truncate in known.truncates}
    return [truncate for truncate in batch.truncates if truncate.place not in places]


def quarantine_beaten(spark: SparkSession, settings: Settings, table: Table, batch: Batch, contested: DataFrame) -> None:
    """Quarantine the records of a contested identity that have the lesser content hash, from this run or an earlier one."""
    wanted = {row["_lsn"] for row in contested.select("_lsn").distinct().collect()}
    if not wanted:
        return
    landed = storage.read_bronze(spark, batch.version).where((F.col("source_table") == table.name) & F.col("lsn").isin(wanted))
    again = decoded(spark, settings, table, landed, batch.forgotten, with_values=True)
    winners = contested.withColumnRenamed("_content_hash", "_winner")
    place = [*table.key, "_epoch", "_lsn", "_kind"]
    beaten = decoding.good(again).join(F.broadcast(winners), on=place, how="inner").where("_content_hash <> _winner")
    verdict = {"_reason": F.lit("conflicting_duplicate"), "_detail": F.lit("another record of this change has the greater content hash")}
    storage.append_quarantine(spark, quarantine_rows(decoding.bad(beaten.withColumns(verdict))))


def waiting(spark: SparkSession, settings: Settings, table: Table, batch: Batch) -> DataFrame | None:
    """Keys and positions of the table's records that wait in quarantine, from this run and earlier ones; None if there are none."""
    earlier = storage.read_quarantine(spark, table).where("replayed_at IS NULL")
    if earlier.isEmpty():
        return None
    source = epochs.source_identity(spark)
    as_landed = quarantined_records.with_epoch(spark, table, earlier)
    # Positions are parsed again: quarantine stores the received bytes only. Records that are readable by now wait for a replay too.
    placed = decoding.waiting(as_landed, table, source.placeholders if source else (), settings.source_schema)
    # A few rows, computed here: parsing them inside the fold's plan would double its size and the time to compile it.
    waiting = placed.localCheckpoint()
    return waiting.unionByName(decoding.blocked(batch.decoded, table)) if batch.quarantined else waiting


def quarantine_rows(bad: DataFrame) -> DataFrame:
    """The faulty rows with quarantine's time columns."""
    times = {"first_seen_at": F.current_timestamp(), "replayed_at": F.lit(None).cast("TIMESTAMP")}
    return bad.withColumns(times)


@contextmanager
def clear_errors(table: Table) -> Iterator[None]:
    """Within the block, replace errors about missing versions of bronze with the one that names the cure."""
    try:
        yield
    except Exception as error:  # see delta: its class depends on the kind of session
        if delta.is_gone(error):
            raise bronze_gone(table) from error
        raise
