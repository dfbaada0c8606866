"""What was seen to change in the source's schema, as `silver.schema_changes` keeps it, and what stops a table until it is accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.lake import storage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

APPLIED, DRIFT, WAITING, ACCEPTED = "applied", "drift", "waiting", "accepted"
# What the capture did, beside what changed in the source.
LEFT_OUT, NOT_CAPTURED = "left out", "capture stopped"
# Debezium 3.7 mixes the type that a change had with the one that the catalog has by now, warns in its log, and sends NULL.
READ_AGAIN = (
    "values that were written in the moment before a column got another type may have come as NULL: "
    "`python -m lakehouse resnapshot {table}` reads the rows as they are now"
)
# A table that is not captured misses what happens meanwhile.
READ_WHOLE = (
    "{table} is captured again from now on; what happened to it meanwhile was not: `python -m lakehouse resnapshot {table}` reads the rows "
    "as they are now, and `python -m lakehouse reconcile {table} --repair` ends those that are gone"
)
_NAME = platform_tables.SCHEMA_CHANGES.full_name


@dataclass(frozen=True, kw_only=True)
class SchemaChange:
    """One change of a captured table; times are UTC. See `ledger.SCHEMA_CHANGES`."""

    source_table: str
    column: str | None
    what: str
    type_before: str | None
    type_after: str | None
    seen_at: datetime
    state: str
    accepted_at: datetime | None = None
    shape: str
    reason: str | None = None

    def __str__(self) -> str:
        name = f"column {self.column}" if self.column else "the table"
        said = f"{self.source_table}: {name} {self.what}"
        if self.type_before or self.type_after:
            said += f", {self.type_before or 'nothing'} before, {self.type_after or 'nothing'} now"
        if self.what == NOT_CAPTURED:
            said = f"{self.source_table}: {f'column {self.column}, ' if self.column else ''}{NOT_CAPTURED}"
        return f"{said} ({self.reason})" if self.reason else said


def shapes(spark: SparkSession) -> dict[str, str]:
    """How each table looked when it was last seen to change; a table never looked at is missing."""
    newest = spark.sql(f"SELECT source_table, max_by(shape, seen_at) AS shape FROM {_NAME} GROUP BY source_table")
    return {row["source_table"]: row["shape"] for row in newest.collect()}


def in_state(spark: SparkSession, state: str, source_table: str | None = None) -> list[SchemaChange]:
    """The changes in that state, oldest first, of one table or of all."""
    rows = spark.read.table(_NAME).where(f"state = '{state}'")
    if source_table:
        rows = rows.where(f"source_table = '{source_table}'")
    found = rows.orderBy("seen_at", "source_table", "column").collect()
    return [SchemaChange(**storage.in_utc(row.asDict())) for row in found]


def left_out(spark: SparkSession) -> list[SchemaChange]:
    """The newest change of each column that the capture leaves out; a column that has been declared since is none of them."""
    rows = spark.read.table(_NAME).where("column IS NOT NULL").collect()
    return newest_left_out(SchemaChange(**storage.in_utc(row.asDict())) for row in rows)


def newest_left_out(changes: Iterable[SchemaChange]) -> list[SchemaChange]:
    """The same of all changes."""
    newest: dict[tuple[str, str], SchemaChange] = {}
    # Of two of one moment the one with a reason.
    for change in sorted(changes, key=lambda change: (change.seen_at, change.reason is not None)):
        if change.column is not None:
            newest[change.source_table, change.column] = change
    return [newest[place] for place in sorted(newest) if newest[place].reason is not None and newest[place].state == DRIFT]


def not_captured(spark: SparkSession) -> frozenset[str]:
    """The tables that the capture leaves alone until a person has accepted it."""
    return frozenset(change.source_table for change in in_state(spark, WAITING) if change.what == NOT_CAPTURED)


def altered_columns(spark: SparkSession) -> frozenset[tuple[str, str | None]]:
    """Table and column of every change that was seen of what had been there; the column is None for the table's key."""
    rows = spark.read.table(_NAME).where("type_before IS NOT NULL").select("source_table", "column").distinct().collect()
    return frozenset((row["source_table"], row["column"]) for row in rows)


def append(spark: SparkSession, found: Sequence[SchemaChange], read_at: int) -> None:
    """Add changes in one commit; StorageError where another look has added to version `read_at` since."""
    table = platform_tables.SCHEMA_CHANGES
    rows = [tuple(vars(change)[name] for name in table.column_names) for change in found]
    storage.append_once(spark, table, spark.createDataFrame(rows, table.schema_ddl()), read_at)


def apply_declared(spark: SparkSession, table: Table) -> None:
    """Drift that has been declared since is no drift any more."""
    declared = [change for change in in_state(spark, DRIFT, table.name) if change.column in table.column_names]
    if declared:
        names = ", ".join(sorted(f"'{change.column}'" for change in declared))
        condition = f"source_table = '{table.name}' AND state = '{DRIFT}' AND column IN ({names})"
        spark.sql(f"UPDATE {_NAME} SET state = '{APPLIED}' WHERE {condition}")


def accept(spark: SparkSession, table: Table) -> list[SchemaChange]:
    """Let a stopped table go on, and return what was accepted; StorageError where nothing of it waits."""
    found = in_state(spark, WAITING, table.name)
    if not found:
        stopped = ", ".join(sorted({change.source_table for change in in_state(spark, WAITING)})) or "no table"
        raise storage.StorageError(f"nothing of {table.name} waits to be accepted: {stopped} is stopped by a change of the source's schema")
    # What came in since it was looked at has not been seen by anybody: it goes on waiting.
    newest = max(change.seen_at for change in found)
    condition = f"source_table = '{table.name}' AND state = '{WAITING}' AND seen_at <= timestamp_micros({_micros(newest)})"
    spark.sql(f"UPDATE {_NAME} SET state = '{ACCEPTED}', accepted_at = current_timestamp() WHERE {condition}")
    return found


def stop(spark: SparkSession, table: Table) -> str | None:
    """Why the table may not be refined until a person has looked; None where it may."""
    return stop_notice(table, in_state(spark, WAITING, table.name))


def stop_notice(table: Table, waiting: Sequence[SchemaChange]) -> str | None:
    """The same of the table's changes that wait."""
    if not waiting:
        return None
    stopped = [change for change in waiting if change.what == NOT_CAPTURED]
    if stopped:
        return (
            f"{table.full_name} is stopped, and no longer captured: {'; '.join(map(str, stopped))}. The other tables go on. Take the value "
            f"or the column away at the source, then `python -m lakehouse accept {table.name}` and `python -m lakehouse resnapshot "
            f"{table.name}`"
        )
    return (
        f"{table.full_name} is stopped: the source's schema changed ({'; '.join(map(str, waiting))}). Its changes wait in bronze. "
        f"`python -m lakehouse accept {table.name}` lets it go on where it stood; values that its declared types cannot hold then go to "
        "quarantine"
    )


def _micros(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
