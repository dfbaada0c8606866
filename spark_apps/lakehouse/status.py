"""How every table is doing: rows, age against what its declaration allows, blocked keys, unresolved values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse import ledger, session, storage, tables
from lakehouse.contract import History, Table
from lakehouse.settings import Settings
from lakehouse.transforms import views

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table or view; `age_s` is None before its first run, `blocked` counts keys, `unresolved` versions."""

    name: str
    rows: int
    age_s: float | None
    allowed_age_s: int
    blocked: int = 0
    unresolved: int = 0


def table_statuses(settings: Settings) -> list[dict[str, Any]]:
    """Status of `bronze.changes` and every silver and gold table and view, read over the warm server."""
    spark = session.connect(settings)
    try:
        return [asdict(status) for status in collect(spark, datetime.now(UTC))]
    finally:
        spark.stop()


def collect(spark: SparkSession, now: datetime) -> list[TableStatus]:
    """The same on an open session, with ages as of `now`."""
    bronze_age_s = _age_s(_bronze_complete_to(spark), now)
    statuses = [_plain(spark, ledger.CHANGES, bronze_age_s)]
    complete = {row["source_table"]: row["complete_to"] for row in spark.read.table(ledger.PROGRESS.full_name).collect()}
    for table in tables.SOURCES:
        statuses += _silver(spark, table, _age_s(complete.get(table.name), now))
    known = [_age_s(complete.get(table.name), now) for table in tables.SOURCES]
    ages = [age for age in known if age is not None]
    statuses.append(_plain(spark, ledger.QUARANTINE, max(ages) if len(ages) == len(known) else None))
    complete |= _gold_complete_to(spark, complete)
    return statuses + [_plain(spark, t, bronze_age_s if t.is_view else _age_s(complete.get(t.name), now)) for t in tables.GOLD]


def _gold_complete_to(spark: SparkSession, complete: dict[str, datetime | None]) -> dict[str, datetime | None]:
    """Commit time up to which each gold table is complete; `complete` tells it of the source tables.

    A quiet shop starts no gold run, so a table whose inputs have not moved since its mark is as complete as they are now.
    """
    versions = {table.name: storage.version(spark, ledger.stored(table).full_name) for table in tables.SOURCES}
    known = dict(complete)
    for table in (table for table in tables.GOLD if not table.is_view):
        versions[table.name] = storage.version(spark, table.full_name)
        made = storage.gold_progress(spark, table.name)
        is_current = made is not None and all(made.marks.get(name, {}).get("version") == versions[name] for name in table.inputs)
        told = [known.get(name) for name in table.inputs]
        least = min((at for at in told if at), default=None) if None not in told else None
        known[table.name] = least if is_current else (made.complete_to.replace(tzinfo=None) if made and made.complete_to else None)
    return known


def _silver(spark: SparkSession, table: Table, age_s: float | None) -> list[TableStatus]:
    counts = (
        spark.read.table(ledger.stored(table).full_name)
        .selectExpr(
            f"count_if({views.IS_LIVE}) AS live",
            f"count_if({views.IS_VERSION}) AS versions",
            f"count_if({views.IS_VERSION} AND _valid_to IS NULL AND _is_blocked) AS blocked",
            f"count_if({views.IS_VERSION} AND size(_unresolved) > 0) AS unresolved",
        )
        .collect()[0]
    )
    shown = {table.full_name: counts["live"]}
    if table.history is History.FULL:
        shown[f"{table.full_name}_history"] = counts["versions"]
    return [
        TableStatus(
            name=name,
            rows=rows,
            age_s=age_s,
            allowed_age_s=table.allowed_age_s,
            blocked=counts["blocked"],
            unresolved=counts["unresolved"],
        )
        for name, rows in shown.items()
    ]


def _plain(spark: SparkSession, table: Table, age_s: float | None) -> TableStatus:
    rows = spark.read.table(table.full_name).count()
    return TableStatus(name=table.full_name, rows=rows, age_s=age_s, allowed_age_s=table.allowed_age_s)


def _bronze_complete_to(spark: SparkSession) -> datetime | None:
    """Commit time of the newest heartbeat that landed: everything committed before it has landed too."""
    beats = spark.read.table(ledger.CHANGES.full_name).where(f"source_table = '{ledger.HEARTBEAT}'")
    newest: datetime | None = beats.selectExpr("max(commit_at) AS newest").collect()[0]["newest"]
    return newest


def _age_s(complete_to: datetime | None, now: datetime) -> float | None:
    return None if complete_to is None else round((now - complete_to.replace(tzinfo=UTC)).total_seconds(), 3)
