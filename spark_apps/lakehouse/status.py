"""How every table is doing: rows, age against what its declaration allows, blocked keys, unresolved values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
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
    counts = {row["name"]: row for row in spark.sql(_counts()).collect()}
    made = {table.name: storage.progress(spark, table.name) for table in tables.SOURCES}
    complete = {name: progress.complete_to for name, progress in made.items() if progress}
    complete |= _gold_complete_to(spark, complete)
    ages = {name: _age_s(at, now) for name, at in complete.items()}
    bronze_age_s = _age_s(counts[ledger.CHANGES.full_name]["newest"], now)
    known = [age for table in tables.SOURCES if (age := ages.get(table.name)) is not None]
    quarantine_age_s = max(known) if len(known) == len(tables.SOURCES) else None

    def status(table: Table, name: str, age_s: float | None) -> TableStatus:
        found = counts[name]
        made = TableStatus(name=name, rows=found["rows"], age_s=age_s, allowed_age_s=table.allowed_age_s)
        return replace(made, blocked=found["blocked"], unresolved=found["unresolved"])

    statuses = [status(ledger.CHANGES, ledger.CHANGES.full_name, bronze_age_s)]
    for table in tables.SOURCES:
        names = [table.full_name] + ([f"{table.full_name}_history"] if table.history is History.FULL else [])
        statuses += [status(table, name, ages.get(table.name)) for name in names]
    statuses.append(status(ledger.QUARANTINE, ledger.QUARANTINE.full_name, quarantine_age_s))
    return statuses + [status(table, table.full_name, bronze_age_s if table.is_view else ages.get(table.name)) for table in tables.GOLD]


def _counts() -> str:
    """One query for all tables: asked one by one they took seconds."""
    nothing = "CAST(NULL AS TIMESTAMP) AS newest"
    beat = f"max(CASE WHEN source_table = '{ledger.HEARTBEAT}' THEN commit_at END) AS newest"
    # Everything committed before the newest heartbeat that landed has landed too.
    asked = [f"SELECT '{ledger.CHANGES.full_name}' AS name, count(*) AS rows, 0L AS blocked, 0L AS unresolved, {beat} FROM bronze.changes"]
    for table in tables.SOURCES:
        waiting = f"count_if({views.IS_VERSION} AND _valid_to IS NULL AND _is_blocked)"
        unknown = f"count_if({views.IS_VERSION} AND size(_unresolved) > 0)"
        shown = {table.full_name: views.IS_LIVE}
        if table.history is History.FULL:
            shown[f"{table.full_name}_history"] = views.IS_VERSION
        asked += [
            f"SELECT '{name}', count_if({condition}), {waiting}, {unknown}, {nothing} FROM {ledger.stored(table).full_name}"
            for name, condition in shown.items()
        ]
    plain = [ledger.QUARANTINE.full_name, *(table.full_name for table in tables.GOLD)]
    asked += [f"SELECT '{name}', count(*), 0L, 0L, {nothing} FROM {name}" for name in plain]
    return " UNION ALL ".join(asked)


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
        known[table.name] = least if is_current else (made.complete_to if made else None)
    return known


def _age_s(complete_to: datetime | None, now: datetime) -> float | None:
    return None if complete_to is None else round((now - complete_to.astimezone(UTC)).total_seconds(), 3)
