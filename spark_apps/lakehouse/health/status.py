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
# Delays of the last minutes: long enough for a quiet shop, short enough to show what is wrong now.
_DELAYS_OF = timedelta(minutes=10)
# Commits in which the last change of a table is looked for; compactions come in between.
_LOOK_BACK = 10
_LEFT_OUT = ("source_table", "column", "type_after", "reason")

Moments = dict[str, datetime | None]
AskBeat = Callable[[], liveness.Beat]


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table or view; `age_s` is None before its first run, `blocked` counts keys, `unresolved` versions.

    `state` and `since` are those of `liveness`.
    `bytes` is what the table's files take, replaced ones included; None for a view that is not the table's own face.
    `paused` says since when, by whom and why a source table is paused, `error` why one is stopped, each with the cure.
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
    """What a table's rows say: how many, of a source table its versions too, and when its newest change was committed."""

    rows: int
    versions: int = 0
    blocked: int = 0
    unresolved: int = 0
    newest: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class _Marks:
    """What the states of silver and gold say of each table: how far, since when, why not, and since when a gold table's inputs wait."""

    complete_to: Moments
    moved_at: Moments
    errors: dict[str, str | None]
    waiting_since: Moments
    paused: dict[str, str | None]


def lake_status(settings: Settings) -> dict[str, Any]:
    """How the lake is doing, as one object:

    `tables`, the status of `bronze.changes` and every silver and gold table and view; what is `waiting` in quarantine; `delays`; and the
    source's columns that are `left_out` of the capture: source_table, column, type_after, reason.

    A captured table has `verified_through` too: the moment as of which it was last found equal to the source, None before the first.
    """
    lake, now = Lake(settings), datetime.now(UTC)
    found = collect(lake, now, partial(liveness.beat_sent_at, settings))
    sizes = objects.bytes_by_table(settings)
    sizes |= {table.full_name: sizes.get(platform_tables.stored(table).full_name, 0) for table in tables.SOURCES}
    verified = _verified_through(lake)
    sized = [asdict(status) | {"bytes": sizes.get(status.name)} | verified.get(status.name, {}) for status in found]
    left_out = [{name: getattr(change, name) for name in _LEFT_OUT} for change in SchemaLog(lake).left_out()]
    return {"tables": sized, "waiting": quarantine_counts.counts(lake), "delays": delays(lake, now), "left_out": left_out}


def collect(lake: Lake, now: datetime, ask_beat: AskBeat) -> list[TableStatus]:
    """The tables with ages as of `now`; Kafka is asked for its heartbeat only where bronze does not follow it."""
    bronze = lake.snapshot(platform_tables.CHANGES)
    counts = _counts(lake, bronze)
    marks = _marks(lake)
    complete = marks.complete_to
    # Everything committed before the newest heartbeat that landed has landed too.
    complete[_BRONZE] = newest_heartbeat(bronze)
    complete[platform_tables.QUARANTINE.full_name] = _least(complete.get(table.name) for table in tables.SOURCES)
    complete |= {table.name: complete[_BRONZE] for table in tables.GOLD if table.is_view and sql_files.reads_bronze(table)}
    states = _states(counts, marks, _newest_of(bronze, "_landed_at"), now, ask_beat)

    def status(table: Table, name: str, key: str) -> TableStatus:
        found, at = counts[key], complete.get(key)
        return TableStatus(
            name=name,
            rows=found.versions if name.endswith("_history") else found.rows,
            age_s=None if at is None else round((now - at).total_seconds(), 3),
            allowed_age_s=table.max_age_s,
            state=states[key].word,
            since=states[key].since,
            blocked=found.blocked,
            unresolved=found.unresolved,
            paused=marks.paused.get(key),
            error=marks.errors.get(key) if table.history else None,
        )

    statuses = [status(platform_tables.CHANGES, _BRONZE, _BRONZE)]
    for table in tables.SOURCES:
        names = [table.full_name] + ([f"{table.full_name}_history"] if table.history is History.FULL else [])
        statuses += [status(table, name, table.name) for name in names]
    statuses.append(status(platform_tables.QUARANTINE, platform_tables.QUARANTINE.full_name, platform_tables.QUARANTINE.full_name))
    return statuses + [status(table, table.full_name, table.name) for table in tables.GOLD]


def gold_complete_to(lake: Lake) -> Moments:
    """Commit time up to which each gold table and view is complete, without counting a row."""
    known, newest = _marks(lake).complete_to, newest_heartbeat(lake.snapshot(platform_tables.CHANGES))
    return {table.name: newest if table.is_view and sql_files.reads_bronze(table) else known.get(table.name) for table in tables.GOLD}


def delays(lake: Lake, now: datetime) -> dict[str, Any]:
    """How long commits take, in seconds: `to_bronze` (median, 95th percentile, changes) until the batch began that landed them, within
    the last ten minutes; `to_gold`, a table each, from the newest commit a table is complete to until it was written.
    """
    states = lake.states.read_all(table for table in tables.GOLD if not table.is_view).values()
    written = [
        {"table": made.table_name, "seconds": (made.updated_at - made.complete_to).total_seconds()}
        for made in states
        if made.updated_at and made.complete_to
    ]
    return {"to_bronze": _to_bronze(lake, now), "to_gold": sorted(written, key=lambda row: str(row["table"]))}


def newest_heartbeat(bronze: Snapshot) -> datetime | None:
    """Commit time of the newest heartbeat that landed, by the log's statistics: up to a millisecond late."""
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
    """The greatest value of a time in bronze, of one table's records or of all; None where no statistics tell."""
    own = [file for file in bronze.files if source_table in (None, file.partition["source_table"])]
    found = [text for file in own if (text := file.statistics.get("maxValues", {}).get(column))]
    return max((datetime.fromisoformat(text).astimezone(UTC) for text in found), default=None)


def _marks(lake: Lake) -> _Marks:
    """What the states of silver and gold say.

    A quiet shop starts no gold run, so a table whose inputs have not changed since its checkpoint is as complete as they are now.
    """
    refined = {table.name: made for table, made in _states_of(lake, tables.SOURCES)}
    made = dict(_states_of(lake, [table for table in tables.GOLD if not table.is_view]))
    known: Moments = {name: each.complete_to for name, each in refined.items()}
    waiting_since: Moments = {}
    for table in tables.GOLD:
        if table.is_view:
            known[table.name] = _least(known.get(name) for name in table.inputs)
        elif made[table].has_run:
            unseen = _unseen(lake, table, made[table])
            waiting_since[table.name] = min(unseen, default=None)
            known[table.name] = made[table].complete_to if unseen else _least(known.get(name) for name in table.inputs)
    moved = {name: each.updated_at for name, each in refined.items()} | {table.name: each.updated_at for table, each in made.items()}
    errors = {name: each.error for name, each in refined.items()}
    paused = {name: each.pause_notice for name, each in refined.items()}
    return _Marks(complete_to=known, moved_at=moved, errors=errors, waiting_since=waiting_since, paused=paused)


def _states_of(lake: Lake, wanted: Iterable[Table]) -> list[tuple[Table, TableState]]:
    listed = list(wanted)
    found = lake.states.read_all(listed)
    return [(table, found[table.full_name]) for table in listed]


def _unseen(lake: Lake, table: Table, made: TableState) -> list[datetime]:
    """When each change of its inputs was committed that a gold table has not taken up yet, as far back as is looked."""
    found = []
    for name in table.inputs:
        seen = made.inputs.get(name, {}).get("version", -1)
        found += [at for version, at in _changes(lake, name) if version > seen]
    return found


def _changes(lake: Lake, name: str) -> list[tuple[int, datetime]]:
    """The newest versions that changed an input's rows, and when; the newest it can be where only compactions are in sight."""
    source = next((table for table in tables.SOURCES if table.name == name), None)
    log = lake.log(platform_tables.stored(source) if source else tables.gold(name))
    newest = log.snapshot().version
    oldest = max(newest - _LOOK_BACK + 1, log.earliest())
    commits = log.commits(oldest, newest)
    timed = [(commit, datetime.fromtimestamp(commit.at_ms / 1000, UTC)) for commit in commits]
    # What made or described the table changed what it can say, too.
    found = [(commit.version, at) for commit, at in timed if commit.changes_rows or commit.metadata]
    return found or [(timed[0][0].version - 1, timed[0][1])]


def _counts(lake: Lake, bronze: Snapshot) -> dict[str, _Counts]:
    """The counts of each table by name, of bronze and quarantine by full name; by the logs alone where they tell."""
    found = {_BRONZE: _Counts(rows=live_rows(bronze))}
    found[platform_tables.QUARANTINE.full_name] = _Counts(rows=live_rows(lake.snapshot(platform_tables.QUARANTINE)))
    found |= {table.name: _stored_counts(lake, table) for table in tables.SOURCES}
    for table in tables.GOLD:
        rows = counting.view_rows(lake, table) if table.is_view else live_rows(lake.snapshot(table))
        found[table.name] = _Counts(rows=rows)
    return found


def live_rows(snapshot: Snapshot) -> int:
    """Rows of a table as its log has them."""
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
    counts: dict[str, _Counts], marks: _Marks, landed_at: datetime | None, now: datetime, ask_beat: AskBeat
) -> dict[str, liveness.State]:
    """What each table's age means, by name; bronze and quarantine by full name."""

    def standing(table: Table, key: str, moved_at: datetime | None, changed_at: datetime | None = None) -> liveness.Standing:
        far = marks.complete_to.get(key)
        return liveness.Standing(allowed_s=table.max_age_s, complete_to=far, moved_at=moved_at, changed_at=changed_at)

    landing = standing(platform_tables.CHANGES, _BRONZE, landed_at)
    landed = liveness.bronze(landing, None if landing.is_on_time(now) else ask_beat(), now)
    states = {_BRONZE: landed}
    for table in tables.SOURCES:
        at = standing(table, table.name, marks.moved_at.get(table.name), counts[table.name].newest)
        states[table.name] = liveness.silver(at, landed, marks.errors.get(table.name), now)
    states[platform_tables.QUARANTINE.full_name] = liveness.least(states[table.name] for table in tables.SOURCES)
    for table in tables.GOLD:
        inputs = [_BRONZE] if table.is_view and sql_files.reads_bronze(table) else table.inputs
        at = standing(table, table.name, marks.moved_at.get(table.name))
        states[table.name] = liveness.gold(at, [states[name] for name in inputs], marks.waiting_since.get(table.name), now)
    return states


def _least(moments: Iterable[datetime | None]) -> datetime | None:
    """The earliest; None where one is not known."""
    found = list(moments)
    return None if not found or None in found else min(at for at in found if at)
