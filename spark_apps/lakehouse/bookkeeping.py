"""What EBAP keeps of its own work: how far each table is, and how it was last compacted and compared; a row a table, see `ledger`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lakehouse import ledger, storage, truncates
from lakehouse.truncates import Truncate

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one source table is refined; times are UTC. `turn` counts the writes of the row, see `move_progress`."""

    source_table: str
    bronze_version: int
    complete_to: datetime | None
    refined_at: datetime
    records: int
    quarantined: int
    truncates: tuple[Truncate, ...] = ()
    error: str | None = None
    turn: int = 0


@dataclass(frozen=True, kw_only=True)
class GoldProgress:
    """How far one gold table is aggregated; `marks` maps each input to what was consumed of it."""

    table_name: str
    marks: dict[str, Any]
    complete_to: datetime | None
    aggregated_at: datetime


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """The last compaction of a stored table; sizes are bytes, times are UTC. See `ledger.COMPACTIONS`."""

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
    """The last comparison of a source table with the source; times are UTC. See `ledger.RECONCILIATIONS`."""

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


def progress(spark: SparkSession, source_table: str) -> Progress | None:
    """How far a source table is refined; None before its first run."""
    row = spark.read.table(ledger.PROGRESS.full_name).where(f"source_table = '{source_table}'").first()
    if row is None:
        return None
    values = storage.in_utc(row.asDict())
    # A row written before the column was there has no turn.
    return Progress(**{**values, "truncates": truncates.from_json(values["truncates"]), "turn": values["turn"] or 0})


def write_progress(spark: SparkSession, made: Progress) -> None:
    """Replace one source table's row of progress, whatever it says."""
    storage.write_row(spark, ledger.PROGRESS, {**vars(made), "truncates": truncates.to_json(made.truncates), "turn": made.turn + 1})


def move_progress(spark: SparkSession, before: Progress | None, made: Progress) -> Progress:
    """Replace one source table's row of progress where it is as it was read, and return it; StorageError where it was written since.

    A run that began before a rebuild took its turn must not say afterwards how far the table is.
    """
    table, turn = ledger.PROGRESS, before.turn if before else 0
    written = replace(made, turn=turn + 1)
    values = {**vars(written), "truncates": truncates.to_json(written.truncates)}
    spark.createDataFrame([tuple(values[name] for name in table.column_names)], table.schema_ddl()).createOrReplaceTempView("ebap_row")
    # By the row's own number, not by one in the statement: that would be compiled anew each run.
    matched = "WHEN MATCHED AND coalesce(t.turn, 0) = s.turn - 1 THEN UPDATE SET *" if before else ""
    same = f"t.source_table = s.source_table AND t.source_table = '{made.source_table}'"
    merge = f"MERGE INTO {table.full_name} t USING ebap_row s ON {same} {matched} WHEN NOT MATCHED THEN INSERT *"
    counted = spark.sql(merge).first()
    if counted is None or counted["num_affected_rows"] == 0:
        raise storage.StorageError(f"another run of {made.source_table} said meanwhile how far it is; run it again")
    return written


def gold_progress(spark: SparkSession, table_name: str) -> GoldProgress | None:
    """How far a gold table is aggregated; None before its first run."""
    row = spark.read.table(ledger.GOLD_PROGRESS.full_name).where(f"table_name = '{table_name}'").first()
    if row is None:
        return None
    values = storage.in_utc(row.asDict())
    return GoldProgress(**{**values, "marks": json.loads(values["marks"])})


def write_gold_progress(spark: SparkSession, made: GoldProgress) -> None:
    """Replace one gold table's row of progress."""
    storage.write_row(spark, ledger.GOLD_PROGRESS, {**vars(made), "marks": json.dumps(made.marks, sort_keys=True)})


def compaction(spark: SparkSession, full_name: str) -> Compaction | None:
    """The last compaction of a stored table; None before its first."""
    row = spark.read.table(ledger.COMPACTIONS.full_name).where(f"table_name = '{full_name}'").first()
    return None if row is None else Compaction(**storage.in_utc(row.asDict()))


def write_compaction(spark: SparkSession, made: Compaction) -> None:
    """Replace one stored table's row of compactions."""
    storage.write_row(spark, ledger.COMPACTIONS, vars(made))


def reconciliation(spark: SparkSession, source_table: str) -> Reconciliation | None:
    """The last comparison of a source table; None before its first."""
    row = spark.read.table(ledger.RECONCILIATIONS.full_name).where(f"source_table = '{source_table}'").first()
    return None if row is None else Reconciliation(**storage.in_utc(row.asDict()))


def write_reconciliation(spark: SparkSession, made: Reconciliation) -> None:
    """Replace one source table's row of reconciliations."""
    storage.write_row(spark, ledger.RECONCILIATIONS, vars(made))
