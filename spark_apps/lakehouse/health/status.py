"""Status of every table: rows, age against its maximum, idle or stalled, blocked keys, unresolved values.

Read from the lake's logs and files and from the state of tables, without Spark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow.compute as pc

from lakehouse import platform_tables, tables
from lakehouse.contract import History, Table
from lakehouse.delta import objects, reading
from lakehouse.delta.log import Snapshot
from lakehouse.delta.pruning import Between, Filter
from lakehouse.gold import counting
from lakehouse.health import liveness
from lakehouse.lake import quarantine_counts
from lakehouse.lake.lake import Lake
from lakehouse.lake.state import TableState
from lakehouse.settings import Settings
from lakehouse.source.schema_log import SchemaLog
from lakehouse.transforms import views
from lakehouse.transforms.gold import sql_files

_BRONZE = platform_tables.CHANGES.full_name
# Long enough for a quiet source, short enough to show current delays.
_DELAYS_OF = timedelta(minutes=10)
# Number of newest commits searched for a table's last change; compactions are among them.
_LOOK_BACK = 10
_LEFT_OUT = ("source_table", "column", "type_after", "reason")

Moments = dict[str, datetime | None]
AskBeat = Callable[[], liveness.Beat]


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table or view; `age_s` is None before its first run, `blocked` counts keys, `unresolved` versions.

    `state` and `since` are those of `liveness`.
    `bytes` is the size of the table's files, replaced ones included; None for views that no single table stores.
    `paused` is a source table's pause notice, `error` the reason if it is stopped, each with the cure.
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
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """Counts of a table's rows, of a source table's versions too, and the commit time of its newest change."""

    rows: int
    versions: int = 0
    blocked: int = 0
    unresolved: int = 0
    newest: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class _Progress:
    """From the states of silver and gold, by table; `waiting_since`: time of the first input change a gold table has not consumed."""

    complete_to: Moments
    moved_at: Moments
    errors: dict[str, str | None]
    waiting_since: Moments
    paused: dict[str, str | None]


def lake_status(settings: Settings) -> dict[str, Any]:
    """Status of the lake as one object.

    `tables`: status of `bronze.changes` and every silver and gold table and view; `waiting`: counts of quarantine; `delays`; `left_out`:
    columns of the source that are not captured (source_table, column, type_after, reason).

    A captured table also has `verified_through`: the time as of which it last equalled the source, None before the first comparison.
    """
    lake, now = Lake(settings), datetime.now(UTC)
    found = collect(lake, now, partial(liveness.beat_sent_at, settings))
    sizes = objects.bytes_by_table(settings)
    sizes |= {table.full_name: sizes.get(platform_tables.stored(table).full_name, 0) for table in tables.SOURCES}
    verified = _verified_through(lake)
    sized = [asdict(status) | {"bytes": sizes.get(status.name, status.bytes)} | verified.get(status.name, {}) for status in found]
    left_out = [{name: getattr(change, name) for name in _LEFT_OUT} for change in SchemaLog(lake).left_out()]
    return {"tables": sized, "waiting": quarantine_counts.counts(lake), "delays": delays(lake, now), "left_out": left_out}


def collect(lake: Lake, now: datetime, ask_beat: AskBeat) -> list[TableStatus]:
    """The tables with ages as of `now`; `ask_beat` is called only if bronze is not on time."""
    bronze = lake.snapshot(platform_tables.CHANGES)
    counts = _counts(lake, bronze)
    progress = _progress(lake)
    complete = progress.complete_to
    # Everything committed before the newest landed heartbeat has landed too.
    complete[_BRONZE] = newest_heartbeat(bronze)
    complete[platform_tables.QUARANTINE.full_name] = _least(complete.get(table.name) for table in tables.SOURCES)
    complete |= {table.name: complete[_BRONZE] for table in tables.GOLD if table.is_view and sql_files.reads_bronze(table)}
    states = _states(counts, progress, _newest_of(bronze, "_landed_at"), now, ask_beat)

    def status(table: Table, name: str, key: str) -> TableStatus:
        found, at = counts[key], complete.get(key)
        return TableStatus(
            name=name,
            rows=found.versions if name.endswith("_history") else found.rows,
            age_s=None if at is None else round((now - at).total_seconds(), 3),
            allowed_age_s=table.max_age_s,
            state=states[key].name,
            since=states[key].since,
            blocked=found.blocked,
            unresolved=found.unresolved,
            paused=progress.paused.get(key),
            error=progress.errors.get(key) if table.history else None,
        )

    statuses = [status(platform_tables.CHANGES, _BRONZE, _BRONZE)]
    for table in tables.SOURCES:
        names = [table.full_name] + ([f"{table.full_name}_history"] if table.history is History.FULL else [])
        statuses += [status(table, name, table.name) for name in names]
    statuses.append(status(platform_tables.QUARANTINE, platform_tables.QUARANTINE.full_name, platform_tables.QUARANTINE.full_name))
    statuses += [status(table, table.full_name, table.name) for table in tables.GOLD]
    return statuses + (_live(lake, states["users"], now) if lake.settings.is_live else [])


def _live(lake: Lake, profiles: liveness.State, now: datetime) -> list[TableStatus]:
    """The tables of the live half, from what its app last reported."""
    found = []
    for table, known in _states_of(lake, tables.LIVE):
        at = liveness.Standing(allowed_s=table.max_age_s, complete_to=known.complete_to, moved_at=known.updated_at)
        state = liveness.live(at, profiles, now)
        age_s = round((now - known.complete_to).total_seconds(), 3) if known.complete_to else None
        found.append(
            TableStatus(
                name=table.full_name,
                rows=known.inputs.get("rows", 0),
                bytes=known.inputs.get("bytes"),
                age_s=age_s,
                allowed_age_s=table.max_age_s,
                state=state.name,
                since=state.since,
                error=known.error,
            )
        )
    return found


def gold_complete_to(lake: Lake) -> Moments:
    """Commit time up to which each gold table and view is complete, without counting a row."""
    known, newest = _progress(lake).complete_to, newest_heartbeat(lake.snapshot(platform_tables.CHANGES))
    return {table.name: newest if table.is_view and sql_files.reads_bronze(table) else known.get(table.name) for table in tables.GOLD}


def delays(lake: Lake, now: datetime) -> dict[str, Any]:
    """Delays in seconds: `to_bronze` (median, 95th percentile, changes) from commit to the start of the batch that landed it, over the
    last ten minutes; `to_gold`, per table, from the newest commit a table is complete to until it was written.
    """
    states = lake.states.read_all(table for table in tables.GOLD if not table.is_view).values()
    written = [
        {"table": each.table_name, "seconds": (each.updated_at - each.complete_to).total_seconds()}
        for each in states
        if each.updated_at and each.complete_to
    ]
    return {"to_bronze": _to_bronze(lake, now), "to_gold": sorted(written, key=lambda row: str(row["table"]))}


def newest_heartbeat(bronze: Snapshot) -> datetime | None:
    """Commit time of the newest landed heartbeat, from the log's statistics, which may round it up by a millisecond."""
    return _newest_of(bronze, "commit_at", platform_tables.HEARTBEAT)


def _to_bronze(lake: Lake, now: datetime) -> dict[str, Any]:
    since = now - _DELAYS_OF
    where: Filter = {"_landed_on": [since.date(), now.date()], "_landed_at": Between(low=since)}
    rows = lake.read(platform_tables.CHANGES, ("source_table", "op", "_landed_at", "commit_at"), where)
    is_change = pc.and_(pc.not_equal(rows["source_table"], platform_tables.HEARTBEAT), pc.not_equal(rows["op"], "r"))
    changes = rows.filter(pc.and_(is_change, pc.is_valid(rows["commit_at"])))
    if not changes.num_rows:
        return {"median_s": None, "p95_s": None, "changes": 0}
    taken_us = pc.subtract(changes["_landed_at"].cast("int64"), changes["commit_at"].cast("int64"))
    median, p95 = (value / 1e6 for value in pc.quantile(taken_us, q=[0.5, 0.95]).to_pylist())
    return {"median_s": median, "p95_s": p95, "changes": changes.num_rows}


def _verified_through(lake: Lake) -> dict[str, dict[str, str | None]]:
    rows = lake.read(platform_tables.RECONCILIATIONS, ("source_table", "verified_through")).to_pylist()
    known = {row["source_table"]: row["verified_through"] for row in rows}
    moments = {table: known.get(table.name) for table in tables.SOURCES}
    return {table.full_name: {"verified_through": at.isoformat() if at else None} for table, at in moments.items()}


def _newest_of(bronze: Snapshot, column: str, source_table: str | None = None) -> datetime | None:
    """The greatest value of a time column in bronze, of one table's records or of all; None without statistics."""
    own = [file for file in bronze.files if source_table in (None, file.partition["source_table"])]
    found = [text for file in own if (text := file.statistics.get("maxValues", {}).get(column))]
    return max((datetime.fromisoformat(text).astimezone(UTC) for text in found), default=None)


def _progress(lake: Lake) -> _Progress:
    """Progress of every table, from the states of silver and gold.

    Without changes no gold run starts: a table whose inputs have not changed since its checkpoint is as complete as they are.
    """
    refined = {table.name: each for table, each in _states_of(lake, tables.SOURCES)}
    aggregated = dict(_states_of(lake, [table for table in tables.GOLD if not table.is_view]))
    known: Moments = {name: each.complete_to for name, each in refined.items()}
    waiting_since: Moments = {}
    for table in tables.GOLD:
        if table.is_view:
            known[table.name] = _least(known.get(name) for name in table.inputs)
        elif aggregated[table].has_run:
            unseen = _unseen(lake, table, aggregated[table])
            waiting_since[table.name] = min(unseen, default=None)
            known[table.name] = aggregated[table].complete_to if unseen else _least(known.get(name) for name in table.inputs)
    moved = {name: each.updated_at for name, each in refined.items()} | {table.name: each.updated_at for table, each in aggregated.items()}
    errors = {name: each.error for name, each in refined.items()}
    paused = {name: each.pause_notice for name, each in refined.items()}
    return _Progress(complete_to=known, moved_at=moved, errors=errors, waiting_since=waiting_since, paused=paused)


def _states_of(lake: Lake, wanted: Iterable[Table]) -> list[tuple[Table, TableState]]:
    listed = list(wanted)
    found = lake.states.read_all(listed)
    return [(table, found[table.full_name]) for table in listed]


def _unseen(lake: Lake, table: Table, known: TableState) -> list[datetime]:
    """Times of recent input changes that a gold table has not consumed yet."""
    found = []
    for name in table.inputs:
        seen = known.inputs.get(name, {}).get("version", -1)
        found += [at for version, at in _changes(lake, name) if version > seen]
    return found


def _changes(lake: Lake, name: str) -> list[tuple[int, datetime]]:
    """The newest versions that changed an input's rows, and when; if all searched commits are compactions, the version before them."""
    source = next((table for table in tables.SOURCES if table.name == name), None)
    log = lake.log(platform_tables.stored(source) if source else tables.gold(name))
    newest = log.snapshot().version
    oldest = max(newest - _LOOK_BACK + 1, log.earliest())
    commits = log.commits(oldest, newest)
    timed = [(commit, datetime.fromtimestamp(commit.at_ms / 1000, UTC)) for commit in commits]
    # Commits that create the table or change its metadata count too.
    found = [(commit.version, at) for commit, at in timed if commit.changes_rows or commit.metadata]
    return found or [(timed[0][0].version - 1, timed[0][1])]


def _counts(lake: Lake, bronze: Snapshot) -> dict[str, _Counts]:
    """The counts of each table by name, of bronze and quarantine by full name; from the logs where possible."""
    found = {_BRONZE: _Counts(rows=live_rows(bronze))}
    found[platform_tables.QUARANTINE.full_name] = _Counts(rows=live_rows(lake.snapshot(platform_tables.QUARANTINE)))
    found |= {table.name: _stored_counts(lake, table) for table in tables.SOURCES}
    for table in tables.GOLD:
        rows = counting.view_rows(lake, table) if table.is_view else live_rows(lake.snapshot(table))
        found[table.name] = _Counts(rows=rows)
    return found


def live_rows(snapshot: Snapshot) -> int:
    """Number of rows of a table, from its log."""
    return sum((file.rows or 0) - (file.vector.cardinality if file.vector else 0) for file in snapshot.files)


def _stored_counts(lake: Lake, table: Table) -> _Counts:
    stored = lake.snapshot(platform_tables.stored(table))
    names = ("_last", "_kind", "_is_visible", "_valid_to", "_is_blocked", "_unresolved", "_commit_at")
    relation = reading.relation(lake.con, stored, lake.store, names)
    row = relation.aggregate(
        f"count(*) FILTER ({views.IS_LIVE}) AS rows, count(*) FILTER ({views.IS_VERSION}) AS versions, "
        f"count(*) FILTER ({views.IS_VERSION} AND _valid_to IS NULL AND _is_blocked) AS blocked, "
        f"count(*) FILTER ({views.IS_VERSION} AND len(_unresolved) > 0) AS unresolved, epoch_us(max(_commit_at)) AS newest"
    ).fetchall()[0]
    newest = None if row[4] is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row[4])
    return _Counts(rows=row[0], versions=row[1], blocked=row[2], unresolved=row[3], newest=newest)


def _states(
    counts: dict[str, _Counts], progress: _Progress, landed_at: datetime | None, now: datetime, ask_beat: AskBeat
) -> dict[str, liveness.State]:
    """The state of each table by name, of bronze and quarantine by full name."""

    def standing(table: Table, key: str, moved_at: datetime | None, changed_at: datetime | None = None) -> liveness.Standing:
        complete_to = progress.complete_to.get(key)
        return liveness.Standing(allowed_s=table.max_age_s, complete_to=complete_to, moved_at=moved_at, changed_at=changed_at)

    landing = standing(platform_tables.CHANGES, _BRONZE, landed_at)
    landed = liveness.bronze(landing, None if landing.is_on_time(now) else ask_beat(), now)
    states = {_BRONZE: landed}
    for table in tables.SOURCES:
        at = standing(table, table.name, progress.moved_at.get(table.name), counts[table.name].newest)
        states[table.name] = liveness.silver(at, landed, progress.errors.get(table.name), now)
    states[platform_tables.QUARANTINE.full_name] = liveness.least(states[table.name] for table in tables.SOURCES)
    for table in tables.GOLD:
        inputs = [_BRONZE] if table.is_view and sql_files.reads_bronze(table) else table.inputs
        at = standing(table, table.name, progress.moved_at.get(table.name))
        states[table.name] = liveness.gold(at, [states[name] for name in inputs], progress.waiting_since.get(table.name), now)
    return states


def _least(moments: Iterable[datetime | None]) -> datetime | None:
    """The earliest; None if one is not known."""
    found = list(moments)
    return None if not found or None in found else min(at for at in found if at)
