"""Reads and writes of tables by Spark; each is checked against the table's declaration.

Works on classic and on Connect sessions: SQL and DataFrames, no JVM gateway, no `DeltaTable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.lake import commits, ddl
from lakehouse.settings import Settings
from lakehouse.sql import Slice, is_within

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

BRONZE = platform_tables.CHANGES.full_name


def kafka_records(spark: SparkSession, settings: Settings, topics: Sequence[str], most: int | None = None) -> DataFrame:
    """The stream of records of these topics. They are subscribed by name, so that a missing one is an error.

    A batch holds at most `most` records, or the setting's maximum if that is less.
    """
    reader = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_bootstrap)
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", "earliest")
        .option("includeHeaders", "true")
        .option("maxOffsetsPerTrigger", min(most or settings.max_offsets_per_trigger, settings.max_offsets_per_trigger))
    )
    # A record that Kafka deleted before it landed is lost: fail, never skip.
    reader = reader.option("failOnDataLoss", "true")
    # A fetch keeps Kafka's default limits: a larger record is returned all the same, and the heap holds a fetch for each partition.
    # The default wait of 500 ms would be most of the latency of a quiet topic.
    return reader.option("kafka.fetch.max.wait.ms", "50").load()


def bronze_sink(frame: DataFrame, settings: Settings, until_caught_up: bool = False) -> StreamingQuery:
    """Start the query that appends `frame` to bronze: exactly once per checkpoint, one commit per batch.

    It runs until it is stopped; with `until_caught_up` it ends after landing the records present at its start.
    """
    writer = (
        frame.writeStream.format("delta")
        .outputMode("append")
        .option("checkpointLocation", settings.land_checkpoint)
        .partitionBy(*platform_tables.CHANGES.partitions)
        .queryName("land")
    )
    writer = writer.trigger(availableNow=True) if until_caught_up else writer.trigger(processingTime=f"{settings.trigger_s} seconds")
    return writer.start(ddl.location(settings, platform_tables.CHANGES))


def bronze_version(spark: SparkSession) -> int:
    """Newest version of bronze.changes."""
    return commits.version(spark, BRONZE)


def read_version(spark: SparkSession, full_name: str, at: int) -> DataFrame:
    """A table as of one of its versions."""
    return spark.read.option("versionAsOf", at).table(full_name)


def change_feed(spark: SparkSession, full_name: str, start: int, end: int) -> DataFrame:
    """Rows that versions `start` to `end` (both inclusive) of a table added or removed, with Delta's `_change_type`."""
    reader = spark.read.option("readChangeFeed", "true").option("startingVersion", start).option("endingVersion", end)
    return reader.table(full_name)


def read_changes_feed(spark: SparkSession, start: int, end: int) -> DataFrame:
    """Records landed by bronze versions `start` to `end` (both inclusive); compaction and removal by age are ignored."""
    return change_feed(spark, BRONZE, start, end).where("_change_type = 'insert'").select(*platform_tables.CHANGES.column_names)


def read_bronze(spark: SparkSession, at: int) -> DataFrame:
    """All of bronze as of a version."""
    return read_version(spark, BRONZE, at)


def read_silver_changes(spark: SparkSession, table: Table) -> DataFrame:
    """The stored changes of a source table."""
    return spark.read.table(platform_tables.stored(table).full_name)


def silver_version(spark: SparkSession, table: Table) -> int:
    """Newest version of a source table's stored changes, compaction not counted."""
    return commits.content_version(spark, platform_tables.stored(table).full_name)


def read_quarantine(spark: SparkSession, table: Table) -> DataFrame:
    """The quarantined records of a source table."""
    return spark.read.table(platform_tables.QUARANTINE.full_name).where(f"source_table = '{table.name}'")


def merge_silver(
    spark: SparkSession,
    table: Table,
    diff: DataFrame,
    only_last: bool,
    bounds: tuple[int, int] | None,
    read_at: int,
    checkpoint: Mapping[str, Any] | None = None,
) -> None:
    """Apply a difference to a table's stored changes in one commit.

    `only_last`: every updated row is the newest of its key; `bounds`: minimum and maximum of the first key column. Both become literals, by
    which Delta skips files. `read_at` is the version of the stored changes that the difference was computed from: see
    `commits.commit_once`. The commit carries the checkpoint, if one is given.
    """
    stored = platform_tables.stored(table)
    conform(diff, stored)
    diff.createOrReplaceTempView("ebap_diff")
    conditions = ["t._last = true"] if only_last else []
    if bounds:
        conditions.append(f"t.`{table.key[0]}` BETWEEN {bounds[0]} AND {bounds[1]}")
    conditions += [f"t.`{name}` = s.`{name}`" for name in stored.key]
    merge = (
        f"MERGE INTO {stored.full_name} t USING ebap_diff s ON {' AND '.join(conditions)} "
        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    )
    commits.commit_once(spark, stored, merge, read_at=read_at, writer=platform_tables.writer_of(table), checkpoint=checkpoint)


def append_quarantine(spark: SparkSession, rows: DataFrame) -> None:
    """Add records that are not in quarantine yet; safe to repeat.

    A replayed record waits again: code that reads less than the replay did has removed it from the table.
    """
    quarantine = platform_tables.QUARANTINE
    conform(rows, quarantine)
    # Materialized first: MERGE reads its source twice, and rejects one that is only cached.
    bad = rows.select(*quarantine.column_names).dropDuplicates([*quarantine.key, "sha256"]).localCheckpoint()
    names = sorted(row["source_table"] for row in bad.select("source_table").distinct().collect())
    bad.createOrReplaceTempView("ebap_bad")
    # As literals: each table is a partition, so that runs of different tables do not conflict.
    own = f"q.source_table IN ({', '.join(ddl.quote(name) for name in names) or 'NULL'})"
    # By content too: a recreated topic restarts its offsets at 0.
    same = " AND ".join([own, *(f"q.`{name}` = b.`{name}`" for name in quarantine.key), "q.sha256 <=> b.sha256"])
    merge = (
        f"MERGE INTO {quarantine.full_name} q USING ebap_bad b ON {same} "
        "WHEN MATCHED AND q.replayed_at IS NOT NULL THEN UPDATE SET replayed_at = NULL WHEN NOT MATCHED THEN INSERT *"
    )
    with commits.commit(spark, quarantine.full_name):
        spark.sql(merge)


def replace_slices(
    spark: SparkSession, table: Table, rows: DataFrame, slices: Sequence[Slice] | None, checkpoint: Mapping[str, Any] | None = None
) -> None:
    """Replace these slices of a gold table (all of it for None) with `rows`, in one commit that carries the checkpoint."""
    assert table.slice  # nothing is stored for a view
    condition = "true" if slices is None else is_within(f"`{table.slice}`", slices)
    replace_where(spark, table, rows, condition, checkpoint)


def replace_where(spark: SparkSession, table: Table, rows: DataFrame, condition: str, checkpoint: Mapping[str, Any] | None = None) -> None:
    """Replace the rows that meet the condition, in one commit that carries the checkpoint."""
    insert = replacing(spark, table, rows, condition)
    with commits.commit(spark, table.full_name, checkpoint):
        spark.sql(insert)


def replacing(spark: SparkSession, table: Table, rows: DataFrame, condition: str) -> str:
    """The statement that replaces the rows that meet the condition."""
    conform(rows, table)
    # By position: a column declared later is last in the stored table.
    rows.select(*spark.read.table(table.full_name).columns).createOrReplaceTempView("ebap_rows")
    return f"INSERT INTO {table.full_name} REPLACE WHERE {condition} SELECT * FROM ebap_rows"


def write_row(spark: SparkSession, table: Table, values: dict[str, Any]) -> None:
    rows = spark.createDataFrame([tuple(values[name] for name in table.column_names)], table.schema_ddl())
    replace_where(spark, table, rows, f"`{table.key[0]}` = '{values[table.key[0]]}'")


def in_utc(values: dict[str, Any]) -> dict[str, Any]:
    """Collected timestamps, which are naive in this machine's time zone, as aware ones in UTC."""
    return {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in values.items()}


def conform(rows: DataFrame, table: Table) -> None:
    """Raise EbapError with all differences between the rows' columns and the declaration."""
    given = {field.name: field.dataType.simpleString().upper().replace(" ", "") for field in rows.schema.fields}
    wanted = {column.name: column.type.upper().replace(" ", "") for column in table.columns}
    faults = [f"{name} is missing" for name in wanted if name not in given]
    faults += [f"{name} is not declared" for name in given if name not in wanted]
    faults += [f"{name} is {given[name]}, declared {wanted[name]}" for name in wanted if name in given and given[name] != wanted[name]]
    if faults:
        raise EbapError(f"rows for {table.full_name} do not conform: {'; '.join(faults)}")
