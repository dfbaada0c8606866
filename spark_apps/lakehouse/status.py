"""How every table is doing: rows, age against what its declaration allows, blocked keys, unresolved values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lakehouse import controls, ledger, objects, storage, tables, thrift
from lakehouse.contract import History, Table
from lakehouse.settings import Settings
from lakehouse.transforms import gold_views, views

# Delays of the last minutes: long enough for a quiet shop, short enough to show what is wrong now.
_DELAYS = f"""
SELECT percentile_approx(delay_s, 0.5) AS median_s, percentile_approx(delay_s, 0.95) AS p95_s, count(*) AS changes
FROM (
  SELECT CAST(unix_micros(_landed_at) - unix_micros(commit_at) AS DOUBLE) / 1e6 AS delay_s
  FROM {ledger.CHANGES.full_name}
  WHERE _landed_on >= current_date() - 1 AND _landed_at >= current_timestamp() - INTERVAL 10 MINUTES
    AND source_table <> '{ledger.HEARTBEAT}' AND commit_at IS NOT NULL AND op <> 'r'
)
"""
_WRITTEN = f"SELECT table_name, aggregated_at, complete_to FROM {ledger.GOLD_PROGRESS.full_name}"

Moments = dict[str, datetime | None]


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table or view; `age_s` is None before its first run, `blocked` counts keys, `unresolved` versions.

    `bytes` is what the table's files take, replaced ones included; None for a view that is not the table's own face.
    `paused` says since when, by whom and why a source table is paused, with the cure.
    """

    name: str
    rows: int
    age_s: float | None
    allowed_age_s: int
    blocked: int = 0
    unresolved: int = 0
    bytes: int | None = None
    paused: str | None = None


def lake_status(settings: Settings) -> dict[str, Any]:
    """`tables`, the status of `bronze.changes` and every silver and gold table and view, and `delays`.

    Asked over Thrift, whose share of the server no batch run can take away.
    """
    with thrift.cursor(settings) as cursor:
        found = collect(cursor, datetime.now(UTC))
        sizes = objects.bytes_by_table(settings)
        sizes |= {table.full_name: sizes.get(ledger.stored(table).full_name, 0) for table in tables.SOURCES}
        return {"tables": [asdict(status) | {"bytes": sizes.get(status.name)} for status in found], "delays": delays(cursor)}


def delays(cursor: Any) -> dict[str, Any]:
    """How long commits take, in seconds: `to_bronze` (median, 95th percentile, changes) until the batch began that landed them, within
    the last ten minutes; `to_gold`, a table each, from the newest commit a table is complete to until it was written.
    """
    written = [
        {"table": f"gold.{row['table_name']}", "seconds": (row["aggregated_at"] - row["complete_to"]).total_seconds()}
        for row in rows(cursor, _WRITTEN)
        if row["complete_to"]
    ]
    return {"to_bronze": rows(cursor, _DELAYS)[0], "to_gold": sorted(written, key=lambda row: row["table"])}


def collect(cursor: Any, now: datetime) -> list[TableStatus]:
    """The same on an open cursor, with ages as of `now`."""
    counts = {row["name"]: row for row in rows(cursor, _counts())}
    complete = _complete_to(cursor)
    paused = _paused(cursor)
    # Everything committed before the newest heartbeat that landed has landed too.
    complete[ledger.CHANGES.full_name] = _utc(counts[ledger.CHANGES.full_name]["newest"])
    known = [complete.get(table.name) for table in tables.SOURCES]
    complete[ledger.QUARANTINE.full_name] = _least(known)

    def status(table: Table, name: str, at: datetime | None, note: str | None = None) -> TableStatus:
        found = counts[name]
        age_s = None if at is None else round((now - at).total_seconds(), 3)
        of_keys = {"blocked": found["blocked"], "unresolved": found["unresolved"]}
        return TableStatus(name=name, rows=found["rows"], age_s=age_s, allowed_age_s=table.allowed_age_s, paused=note, **of_keys)

    statuses = [status(ledger.CHANGES, ledger.CHANGES.full_name, complete[ledger.CHANGES.full_name])]
    for table in tables.SOURCES:
        names = [table.full_name] + ([f"{table.full_name}_history"] if table.history is History.FULL else [])
        statuses += [status(table, name, complete.get(table.name), paused.get(table.name)) for name in names]
    statuses.append(status(ledger.QUARANTINE, ledger.QUARANTINE.full_name, complete[ledger.QUARANTINE.full_name]))
    complete |= {
        table.name: complete[ledger.CHANGES.full_name] for table in tables.GOLD if table.is_view and gold_views.reads_bronze(table)
    }
    return statuses + [status(table, table.full_name, complete.get(table.name)) for table in tables.GOLD]


def gold_complete_to(cursor: Any) -> Moments:
    """Commit time up to which each gold table and view is complete, without counting a row."""
    known = _complete_to(cursor)
    beat = f"SELECT max(commit_at) AS newest FROM {ledger.CHANGES.full_name} WHERE source_table = '{ledger.HEARTBEAT}'"
    newest = _utc(rows(cursor, f"{beat} AND _landed_on >= current_date() - 1")[0]["newest"])
    return {table.name: newest if table.is_view and gold_views.reads_bronze(table) else known.get(table.name) for table in tables.GOLD}


def _paused(cursor: Any) -> dict[str, str]:
    """What is said of each paused source table."""
    found = rows(cursor, f"SELECT * FROM {ledger.CONTROLS.full_name} WHERE paused_at IS NOT NULL")
    return {row["source_table"]: str(controls.Control(**{**row, "paused_at": _utc(row["paused_at"])})) for row in found}


def _complete_to(cursor: Any) -> Moments:
    """Commit time up to which each source and gold table is complete.

    A quiet shop starts no gold run, so a table whose inputs have not moved since its mark is as complete as they are now.
    """
    known: Moments = {row["source_table"]: _utc(row["complete_to"]) for row in rows(cursor, f"SELECT * FROM {ledger.PROGRESS.full_name}")}
    made = {row["table_name"]: row for row in rows(cursor, f"SELECT * FROM {ledger.GOLD_PROGRESS.full_name}")}
    stored = {table.name: ledger.stored(table).full_name for table in tables.SOURCES}
    stored |= {table.name: table.full_name for table in tables.GOLD if not table.is_view}
    versions = {name: _content_version(cursor, full) for name, full in stored.items()}
    for table in tables.GOLD:
        if table.is_view:
            known[table.name] = _least(known.get(name) for name in table.inputs)
        if table.name not in made:
            continue
        marks = json.loads(made[table.name]["marks"])
        is_current = all(marks.get(name, {}).get("version", -1) >= versions[name] for name in table.inputs)
        known[table.name] = _least(known.get(name) for name in table.inputs) if is_current else _utc(made[table.name]["complete_to"])
    return known


def _content_version(cursor: Any, full_name: str) -> int:
    """Newest version that changed what the table says, or the newest it can be where only compactions are in sight."""
    seen = rows(cursor, f"DESCRIBE HISTORY {full_name} LIMIT 10")
    news = [row["version"] for row in seen if row["operation"] not in storage.NO_NEWS]
    return int(max(news) if news else min(row["version"] for row in seen) - 1)


def _counts() -> str:
    """One query that reads each table once: asked one by one they took seconds."""
    beat = f"max(CASE WHEN source_table = '{ledger.HEARTBEAT}' THEN commit_at END)"
    first = f"SELECT '{ledger.CHANGES.full_name}' AS name, count(*) AS rows, 0L AS blocked, 0L AS unresolved, {beat} AS newest"
    asked = [f"{first} FROM {ledger.CHANGES.full_name}"]
    nothing = "CAST(NULL AS TIMESTAMP)"
    for table in tables.SOURCES:
        shown = [f"'{table.full_name}', count_if({views.IS_LIVE})"]
        if table.history is History.FULL:
            shown.append(f"'{table.full_name}_history', count_if({views.IS_VERSION})")
        waiting = f"count_if({views.IS_VERSION} AND _valid_to IS NULL AND _is_blocked) AS blocked"
        unknown = f"count_if({views.IS_VERSION} AND size(_unresolved) > 0) AS unresolved"
        inner = f"SELECT map({', '.join(shown)}) AS shown, {waiting}, {unknown} FROM {ledger.stored(table).full_name}"
        asked.append(f"SELECT name, rows, blocked, unresolved, {nothing} FROM ({inner}) LATERAL VIEW explode(shown) AS name, rows")
    plain = [ledger.QUARANTINE.full_name, *(table.full_name for table in tables.GOLD)]
    return " UNION ALL ".join(asked + [f"SELECT '{name}', count(*), 0L, 0L, {nothing} FROM {name}" for name in plain])


def rows(cursor: Any, sql: str) -> list[dict[str, Any]]:
    """The rows of a query as dictionaries, on an open cursor."""
    cursor.execute(sql)
    names = [column[0].split(".")[-1] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _utc(moment: datetime | None) -> datetime | None:
    """The Thrift Server answers in the session's time zone, which is UTC, without naming it."""
    return moment and moment.replace(tzinfo=UTC)


def _least(moments: Iterable[datetime | None]) -> datetime | None:
    """The earliest; None where one is not known."""
    found = list(moments)
    return None if not found or None in found else min(at for at in found if at)
