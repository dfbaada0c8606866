"""Search for forgotten keys in all files of the lake, live or retained for older versions.

A file that a table no longer needs is kept for `retention_h` hours and deleted by the next daily compaction. A finding in a live file,
or after that time, is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.lake import ddl
from lakehouse.settings import Settings
from lakehouse.silver import erasure_list
from lakehouse.spark import delta
from lakehouse.transforms.heavy import decoding
from lakehouse.transforms.heavy.keys import key_json

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

# Compaction deletes unneeded files once a day.
_DAILY = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Forgotten keys of one source table in the files of one stored table: `files` of the `read` ones hold some.

    `live` of the `files` are part of the table's current version; all must be deleted by `gone_by`, a UTC time. `live_cure` and `old_cure`
    are what to do about live ones, and about others that are overdue.
    """

    table: str
    source: str
    read: int
    keys: int
    files: int
    live: int
    gone_by: datetime
    live_cure: str
    old_cure: str

    def is_as_promised(self, now: datetime) -> bool:
        """Whether no file holds a key, or only files that are not due yet."""
        return not self.files or (not self.live and now < self.gone_by)


def find(spark: SparkSession, settings: Settings) -> list[Leftover]:
    """One finding for each stored table and source table with forgotten keys."""
    found = []
    for source in erasure_list.personal_sources():
        keys = erasure_list.forgotten(spark, source).get(source.name)
        if keys:
            listed = erasure_list.as_frame(spark, sorted(keys))
            found += [_leftover(spark, settings, source, stored, listed) for stored in _places(source)]
    return found


def gone_by(spark: SparkSession, source: Table) -> datetime:
    """Time (UTC) by which all files with the data last removed for that source table's keys are deleted."""
    return last_erased(spark, source) + timedelta(hours=max(stored.retention_h for stored in _places(source))) + _DAILY


def last_erased(spark: SparkSession, source: Table) -> datetime:
    """Time (UTC) at which data of that source table's keys was last removed."""
    last = spark.read.table(erasure_list.LIST).where(F.col("source_table") == source.name).agg(F.max("erased_at").alias("at")).first()
    assert last is not None  # aggregates without groups are always one row
    found: datetime = last["at"]
    return found.astimezone(UTC)


def _places(source: Table) -> tuple[Table, ...]:
    return platform_tables.CHANGES, platform_tables.QUARANTINE, platform_tables.stored(source)


def _leftover(spark: SparkSession, settings: Settings, source: Table, stored: Table, keys: DataFrame) -> Leftover:
    named = keys.select(F.col("key").alias("_key"))
    files, found = set(), set()
    read = 0
    for rows in _files(spark, settings, source, stored):
        read += rows.select("_file").distinct().count()
        left = _named(rows, source, stored).join(F.broadcast(named), on="_key", how="left_semi")
        for row in left.where(_holds(source, stored)).select("_file", "_key").distinct().collect():
            files.add(row["_file"])
            found.add(row["_key"])
    live = {row["file"] for row in spark.table(stored.full_name).select(F.col("_metadata.file_name").alias("file")).distinct().collect()}
    return Leftover(
        table=stored.full_name,
        source=source.name,
        read=read,
        keys=len(found),
        files=len(files),
        live=len(files & live),
        gone_by=gone_by(spark, source),
        live_cure="run `forget` for one of them again",
        old_cure=f"`python spark_apps/compact.py {stored.full_name} --vacuum` deletes them, or reports which reader prevents it",
    )


def _named(rows: DataFrame, source: Table, stored: Table) -> DataFrame:
    """The rows with `_key`, in the list's form."""
    return decoding.named(rows, source) if "value" in stored.column_names else rows.withColumn("_key", key_json(source))


def _holds(source: Table, stored: Table) -> Column:
    """Whether a row of a forgotten key still holds data to erase."""
    if source.is_of_persons:
        return F.lit(True)
    if "value" in stored.column_names:
        return F.col("value") != F.col("_blanked")
    values = F.array(*(F.col(name).cast("string") for name in source.erased))
    return F.size(F.array_compact(values)) > 0


def _files(spark: SparkSession, settings: Settings, source: Table, stored: Table) -> Iterator[DataFrame]:
    """Rows of all files of the table for that source, and of its change feed, with `_file`: deleted rows and old versions included."""
    root = ddl.location(settings, stored)
    own = f"/source_table={source.name}" if "source_table" in stored.column_names else ""
    schema = ", ".join(f"`{c.name}` {c.type}" for c in stored.columns if c.name not in stored.partitions)
    for folder in (f"{root}{own}", f"{root}/_change_data{own}"):
        # Delta's log lists live files only, so it is not used. Files may be deleted during the search.
        with delta.configured(spark, {"spark.databricks.delta.formatCheck.enabled": "false"}):
            reader = spark.read.schema(schema).option("recursiveFileLookup", "true").option("ignoreMissingFiles", "true")
            # Deletion vectors are in the same folder, and hold row numbers only.
            reader = reader.option("pathGlobFilter", "*.parquet")
            try:
                yield reader.parquet(folder).withColumn("_file", F.col("_metadata.file_name")).localCheckpoint()
            except Exception as error:  # see delta: its class depends on the kind of session
                if "PATH_NOT_FOUND" not in str(error):
                    raise
