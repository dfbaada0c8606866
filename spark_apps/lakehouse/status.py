"""How every table is doing: rows, age against what its declaration allows, whether it is idle or dead, blocked keys, unresolved values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lakehouse import ledger, liveness, objects, storage, tables, thrift, waiting
from lakehouse.contract import History, Table
from lakehouse.lake.state import TableState
from lakehouse.settings import Settings
from lakehouse.transforms import gold_sql, views

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
_BRONZE = ledger.CHANGES.full_name
_WRITTEN = f"SELECT table_name, aggregated_at, complete_to FROM {ledger.GOLD_PROGRESS.full_name}"

Moments = dict[str, datetime | None]
AskBeat = Callable[[], liveness.Beat]


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table or view; `age_s` is None before its first run, `blocked` counts keys, `unresolved` versions.

    `state` and `since` are those of `liveness`.
    `bytes` is what the table's files take, replaced ones included; None for a view that is not the table's own face.
    `paused` says since when, by whom and why a source table is paused, with the cure.
    """

    name: str
    rows: int
    age_s: float | None
    allowed_age_s: int
    state: str
    since: datetime | None = None
    blocked: int = 0
    unresolved: int = 0
    bytes: int | None = None
    paused: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Marks:
    """What the marks say of each source and gold table: how far, since when, why not, and since when a gold table's inputs wait for it."""

    complete_to: Moments
    moved_at: Moments
    errors: dict[str, str | None]
    waiting_since: Moments


def lake_status(settings: Settings) -> dict[str, Any]:
    """`tables`, the status of `bronze.changes` and every silver and gold table and view, what is `waiting` in quarantine, and `delays`.

    A captured table has `verified_through` too: the moment as of which it was last found equal to the source, None before the first.

    Asked over Thrift, whose share of the server no batch run can take away.
    """
    with thrift.cursor(settings) as cursor:
        found = collect(cursor, datetime.now(UTC), partial(liveness.beat_sent_at, settings))
        sizes = objects.bytes_by_table(settings)
        sizes |= {table.full_name: sizes.get(ledger.stored(table).full_name, 0) for table in tables.SOURCES}
        verified = _verified_through(cursor)
        sized = [asdict(s) | {"bytes": sizes.get(s.name)} | verified.get(s.name, {}) for s in found]
        return {"tables": sized, "waiting": waiting_counts(cursor), "delays": delays(cursor)}


def waiting_counts(cursor: Any) -> list[dict[str, Any]]:
    """How many records of each table wait in quarantine for each reason, and since when: source_table, reason, waiting, since."""
    return [row | {"since": _utc(row["since"])} for row in rows(cursor, waiting.COUNTS)]


def _verified_through(cursor: Any) -> dict[str, dict[str, str | None]]:
    seen = rows(cursor, f"SELECT source_table, verified_through FROM {ledger.RECONCILIATIONS.full_name}")
    known = {row["source_table"]: _utc(row["verified_through"]) for row in seen}
    moments = {table: known.get(table.name) for table in tables.SOURCES}
    return {table.full_name: {"verified_through": at.isoformat() if at else None} for table, at in moments.items()}


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


def collect(cursor: Any, now: datetime, ask_beat: AskBeat) -> list[TableStatus]:
    """The same on an open cursor, with ages as of `now`; Kafka is asked for its heartbeat only where bronze does not follow it."""
    counts = {row["name"]: row for row in rows(cursor, _counts())}
    marks = _marks(cursor)
    paused = _paused(cursor)
    complete = marks.complete_to
    # Everything committed before the newest heartbeat that landed has landed too.
    complete[_BRONZE] = _utc(counts[_BRONZE]["newest"])
    complete[ledger.QUARANTINE.full_name] = _least(complete.get(table.name) for table in tables.SOURCES)
    complete |= {table.name: complete[_BRONZE] for table in tables.GOLD if table.is_view and gold_sql.reads_bronze(table)}
    states = _states(counts, marks, now, ask_beat)

    def status(table: Table, name: str, key: str) -> TableStatus:
        found, at = counts[name], complete.get(key)
        age_s = None if at is None else round((now - at).total_seconds(), 3)
        return TableStatus(
            name=name,
            rows=found["rows"],
            age_s=age_s,
            allowed_age_s=table.allowed_age_s,
            state=states[key].word,
            since=states[key].since,
            blocked=found["blocked"],
            unresolved=found["unresolved"],
            paused=paused.get(key),
        )

    statuses = [status(ledger.CHANGES, _BRONZE, _BRONZE)]
    for table in tables.SOURCES:
        names = [table.full_name] + ([f"{table.full_name}_history"] if table.history is History.FULL else [])
        statuses += [status(table, name, table.name) for name in names]
    statuses.append(status(ledger.QUARANTINE, ledger.QUARANTINE.full_name, ledger.QUARANTINE.full_name))
    return statuses + [status(table, table.full_name, table.name) for table in tables.GOLD]


def _states(counts: dict[str, Any], marks: _Marks, now: datetime, ask_beat: AskBeat) -> dict[str, liveness.State]:
    """What each table's age means, by name; bronze and quarantine by full name."""

    def standing(table: Table, key: str, moved_at: datetime | None, changed_at: datetime | None = None) -> liveness.Standing:
        far = marks.complete_to.get(key)
        return liveness.Standing(allowed_s=table.allowed_age_s, complete_to=far, moved_at=moved_at, changed_at=changed_at)

    landing = standing(ledger.CHANGES, _BRONZE, _utc(counts[_BRONZE]["moved"]))
    landed = liveness.bronze(landing, None if landing.is_on_time(now) else ask_beat(), now)
    states = {_BRONZE: landed}
    for table in tables.SOURCES:
        at = standing(table, table.name, marks.moved_at.get(table.name), _utc(counts[table.full_name]["newest"]))
        states[table.name] = liveness.silver(at, landed, marks.errors.get(table.name), now)
    states[ledger.QUARANTINE.full_name] = liveness.least(states[table.name] for table in tables.SOURCES)
    for table in tables.GOLD:
        inputs = [_BRONZE] if table.is_view and gold_sql.reads_bronze(table) else table.inputs
        at = standing(table, table.name, marks.moved_at.get(table.name))
        states[table.name] = liveness.gold(at, [states[name] for name in inputs], marks.waiting_since.get(table.name), now)
    return states


def gold_complete_to(cursor: Any) -> Moments:
    """Commit time up to which each gold table and view is complete, without counting a row."""
    known = _marks(cursor).complete_to
    beat = f"SELECT max(commit_at) AS newest FROM {_BRONZE} WHERE source_table = '{ledger.HEARTBEAT}'"
    newest = _utc(rows(cursor, f"{beat} AND _landed_on >= current_date() - 1")[0]["newest"])
    return {table.name: newest if table.is_view and gold_sql.reads_bronze(table) else known.get(table.name) for table in tables.GOLD}


def _paused(cursor: Any) -> dict[str, str]:
    """What is said of each paused source table."""
    found = rows(cursor, f"SELECT * FROM {ledger.CONTROLS.full_name} WHERE paused_at IS NOT NULL")
    made = {row["source_table"]: _controlled(row) for row in found}
    return {name: state.pause_notice or "" for name, state in made.items()}


def _controlled(row: dict[str, Any]) -> TableState:
    name, at = f"silver.{row['source_table']}", _utc(row["paused_at"])
    return TableState(table_name=name, paused_at=at, paused_by=row["paused_by"], pause_reason=row["reason"])


def _marks(cursor: Any) -> _Marks:
    """What the marks of silver and gold say.

    A quiet shop starts no gold run, so a table whose inputs have not moved since its mark is as complete as they are now.
    """
    refined = {row["source_table"]: row for row in rows(cursor, f"SELECT * FROM {ledger.PROGRESS.full_name}")}
    made = {row["table_name"]: row for row in rows(cursor, f"SELECT * FROM {ledger.GOLD_PROGRESS.full_name}")}
    stored = {table.name: ledger.stored(table).full_name for table in tables.SOURCES}
    stored |= {table.name: table.full_name for table in tables.GOLD if not table.is_view}
    news = {name: _news(cursor, full) for name, full in stored.items()}
    known: Moments = {name: _utc(row["complete_to"]) for name, row in refined.items()}
    waiting_since: Moments = {}
    for table in tables.GOLD:
        if table.is_view:
            known[table.name] = _least(known.get(name) for name in table.inputs)
        if table.name not in made:
            continue
        marks = json.loads(made[table.name]["marks"])
        unseen = [at for name in table.inputs for version, at in news[name] if version > marks.get(name, {}).get("version", -1)]
        waiting_since[table.name] = min(unseen, default=None)
        known[table.name] = _utc(made[table.name]["complete_to"]) if unseen else _least(known.get(name) for name in table.inputs)
    moved = {name: _utc(row["refined_at"]) for name, row in refined.items()}
    moved |= {name: _utc(row["aggregated_at"]) for name, row in made.items()}
    errors = {name: row["error"] for name, row in refined.items()}
    return _Marks(complete_to=known, moved_at=moved, errors=errors, waiting_since=waiting_since)


def _news(cursor: Any, full_name: str) -> list[tuple[int, datetime]]:
    """The newest versions that changed what the table says, and when; the newest it can be where only compactions are in sight."""
    seen = rows(cursor, f"DESCRIBE HISTORY {full_name} LIMIT 10")
    found = [(int(row["version"]), row["timestamp"].replace(tzinfo=UTC)) for row in seen if row["operation"] not in storage.NO_NEWS]
    oldest = min(seen, key=lambda row: int(row["version"]))
    return found or [(int(oldest["version"]) - 1, oldest["timestamp"].replace(tzinfo=UTC))]


def _counts() -> str:
    """One query that reads each table once: asked one by one they took seconds."""
    beat = f"max(CASE WHEN source_table = '{ledger.HEARTBEAT}' THEN commit_at END)"
    first = f"SELECT '{_BRONZE}' AS name, count(*) AS rows, 0L AS blocked, 0L AS unresolved, {beat} AS newest, max(_landed_at) AS moved"
    asked = [f"{first} FROM {_BRONZE}"]
    nothing = "CAST(NULL AS TIMESTAMP)"
    for table in tables.SOURCES:
        shown = [f"'{table.full_name}', count_if({views.IS_LIVE})"]
        if table.history is History.FULL:
            shown.append(f"'{table.full_name}_history', count_if({views.IS_VERSION})")
        blocked = f"count_if({views.IS_VERSION} AND _valid_to IS NULL AND _is_blocked) AS blocked"
        unknown = f"count_if({views.IS_VERSION} AND size(_unresolved) > 0) AS unresolved"
        each = f"map({', '.join(shown)}) AS shown, {blocked}, {unknown}, max(_commit_at) AS newest"
        inner = f"SELECT {each} FROM {ledger.stored(table).full_name}"
        asked.append(f"SELECT name, rows, blocked, unresolved, newest, {nothing} FROM ({inner}) LATERAL VIEW explode(shown) AS name, rows")
    plain = [ledger.QUARANTINE.full_name, *(table.full_name for table in tables.GOLD)]
    return " UNION ALL ".join(asked + [f"SELECT '{name}', count(*), 0L, 0L, {nothing}, {nothing} FROM {name}" for name in plain])


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
