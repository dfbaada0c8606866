"""Records of each table's last compaction and comparison, one row per table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.lake import storage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """The last compaction of a stored table; sizes are bytes, times are UTC. See `platform_tables.COMPACTIONS`."""

    table_name: str
    compacted_at: datetime
    took_s: float
    files_before: int
    bytes_before: int
    small_before: int
    files_after: int
    bytes_after: int
    small_after: int
    vacuumed_at: datetime | None
    waiting_since: datetime | None
    first_landed_on: date | None


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """The last comparison of a source table with the source; times are UTC. See `platform_tables.RECONCILIATIONS`."""

    source_table: str
    verified_through: datetime | None
    checked_at: datetime
    rows: int
    missing: int
    ghosts: int
    different: int
    blocked: int
    took_s: float
    detail: str


def compaction(spark: SparkSession, full_name: str) -> Compaction | None:
    """The last compaction of a stored table; None before its first."""
    row = spark.read.table(platform_tables.COMPACTIONS.full_name).where(f"table_name = '{full_name}'").first()
    return None if row is None else Compaction(**storage.in_utc(row.asDict()))


def write_compaction(spark: SparkSession, made: Compaction) -> None:
    """Replace one stored table's row of compactions."""
    storage.write_row(spark, platform_tables.COMPACTIONS, vars(made))


def reconciliation(spark: SparkSession, source_table: str) -> Reconciliation | None:
    """The last comparison of a source table; None before its first."""
    row = spark.read.table(platform_tables.RECONCILIATIONS.full_name).where(f"source_table = '{source_table}'").first()
    return None if row is None else Reconciliation(**storage.in_utc(row.asDict()))


def write_reconciliation(spark: SparkSession, made: Reconciliation) -> None:
    """Replace one source table's row of reconciliations."""
    storage.write_row(spark, platform_tables.RECONCILIATIONS, vars(made))
