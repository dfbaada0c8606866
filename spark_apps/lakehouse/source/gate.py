"""Schema gate: compare the source's catalog, record what changed in `silver.schema_changes`, and apply what is safe.

A check reads the catalog only. It reads the lake only if the catalog or the declarations differ from the last check, whose digest is
kept in a file; the file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg2

from lakehouse import tables
from lakehouse.errors import EbapError, retry
from lakehouse.lake import ddl, epochs
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import catalog, connect, connection, mending, partitions, schema_diff, setup, standing, types
from lakehouse.source.compatibility import spark_type
from lakehouse.source.failures import Kind
from lakehouse.source.mending import Blame
from lakehouse.source.schema_log import DRIFT, GAP, LEFT_OUT, NOT_CAPTURED, WAITING, SchemaChange, SchemaLog

Shapes = dict[str, schema_diff.Shape]
# (attached, rewritten) oids of partitions -> the oids of those with rows added or removed without being published.
Lossy = Callable[[Sequence[str], Sequence[str]], Collection[str]]


def look(settings: Settings, only_if_changed: bool = False) -> str:
    """Check the source's schema once and report differences; with `only_if_changed`, "" if nothing changed since the last check.

    Repairs a failed connector, see `mending`. Raises EbapError if the source does not answer, or if it is another Postgres; in that
    case capture is stopped.
    """
    found, identity = source(settings)
    since = _last_look(settings)
    digest = hashlib.sha256(json.dumps([identity, _texts(found), *map(ddl.shape, tables.SOURCES)]).encode()).hexdigest()
    failed = mending.failure(settings)
    if failed and failed.kind is Kind.OTHER:
        # No table caused the failure, and the source answers: restart at once.
        print(f"the capture had failed, and is started again: {failed.cause}")
        connect.restart_failed(settings)
        failed = None
    if only_if_changed and not failed and seen_file(settings).is_file() and seen_file(settings).read_text() == digest:
        os.utime(seen_file(settings))
        return ""
    lake = Lake(settings)
    _refuse_another(lake, identity)
    blamed = mending.blamed(settings, found, failed)
    new = record_found(lake, found, blamed, lossy=partial(partitions.lossy, settings), since=since)
    said = _said(SchemaLog(lake), new)
    try:
        # A restart does not recover a lost slot position.
        mending.follow(lake, has_failed=bool(failed and failed.kind is not Kind.POSITION))
    except connect.WorkerError as error:
        return f"{said}\nthe connector is to follow at the next look: {error}"
    seen_file(settings).parent.mkdir(parents=True, exist_ok=True)
    seen_file(settings).write_text(digest)
    return said


def record(lake: Lake) -> list[SchemaChange]:
    """Record every change since the last check, apply the safe ones, and return all; idempotent."""
    lossy = partial(partitions.lossy, lake.settings)
    return record_found(lake, source(lake.settings)[0], lossy=lossy, since=_last_look(lake.settings))


def mend(lake: Lake) -> list[SchemaChange]:
    """Record the tables or columns that made the connector fail; empty if there are none."""
    found = source(lake.settings)[0]
    blamed = mending.blamed(lake.settings, found, mending.failure(lake.settings))
    return record_found(lake, found, blamed) if blamed else []


def seen_file(settings: Settings) -> Path:
    """File with the digest of the last check; its mtime is the time of that check."""
    return settings.control_dir / "schema.seen"


def _last_look(settings: Settings) -> datetime | None:
    file = seen_file(settings)
    return datetime.fromtimestamp(file.stat().st_mtime, UTC) if file.is_file() else None


def source(settings: Settings) -> tuple[Shapes, str | None]:
    """Current shapes of the declared tables, and the identity of their Postgres (None if unknown).

    First removes tables whose replica identity lacks the key from the publication, see `setup.withdraw_unfit`. Raises EbapError if
    the source does not answer.
    """
    try:
        with setup.owner(settings) as cursor:
            for schema, name in setup.withdraw_unfit(cursor):
                print(f"{schema}.{name} is taken out of the publication: it has no replica identity that has its key")
            found = catalog.read_tables(cursor, tables.SOURCES, settings.source_schema)
    except psycopg2.OperationalError as error:
        raise EbapError(f"cannot log in to the source as its owner: {' '.join(str(error).split())}") from None
    identity = connection.source_identity(settings)[0]
    return {table.name: schema_diff.of(table.name, found.get(table.name), identity) for table in tables.SOURCES}, identity


def _texts(found: Shapes) -> dict[str, str]:
    return {name: schema_diff.to_json(each) for name, each in sorted(found.items())}


def _refuse_another(lake: Lake, identity: str | None) -> None:
    known = epochs.of_lake(lake)
    if known is None or identity is None or identity == known.identity:
        return
    # LSNs of another Postgres are unrelated: in the old epoch, its changes could sort before the old ones.
    connect.stop(lake.settings)
    raise EbapError(
        f"the source is another Postgres ({identity}) than the lake was filled from ({known.identity}): the capture is stopped. "
        "Point back to that one and run `python -m lakehouse capture apply`, or take this one as the next epoch: "
        "`python -m lakehouse accept epoch`"
    )


def record_found(
    lake: Lake, found: Shapes, blamed: Sequence[Blame] = (), *, lossy: Lossy = lambda *_: (), since: datetime | None = None
) -> list[SchemaChange]:
    """`record` for given shapes, plus the tables and columns that made the connector fail.

    `found` has every declared table, a missing one as `GONE`. `since` is the time of the last check.
    """
    # The check of land and a manual one may run concurrently; a retry omits what the other recorded.
    return retry(lambda: _recorded(lake, found, blamed, lossy, since))


def _recorded(lake: Lake, found: Shapes, blamed: Sequence[Blame], lossy: Lossy, since: datetime | None) -> list[SchemaChange]:
    log = SchemaLog(lake)
    known = log.shapes()
    now = datetime.now(UTC)
    new = []
    for table in tables.SOURCES:
        before = schema_diff.from_json(known[table.name]) if table.name in known else None
        stood = (before.standing if before else None, found[table.name].standing)
        lost = lossy(standing.attached(*stood), standing.rewritten(*stood))
        new += schema_diff.changes(table, before, found[table.name], now, lossy=lost, since=since)
    new = [replace(change, reason=change.reason or _why_left_out(found, change)) for change in new]
    new += _left_out(log, found, new, now)
    new += _by_blame(log, found, blamed, now)
    # Widen before recording: after a crash, an unrecorded change is found again, and widening is idempotent.
    _widen(lake.settings, new)
    log.record(new, tables.SOURCES)
    return new


def _why_left_out(found: Shapes, change: SchemaChange) -> str | None:
    """Why capture excludes the column of a change, by its current type; None if it does not."""
    seen = found[change.source_table].columns.get(change.column or "")
    return types.why_left_out(seen.type, bool(seen.labels)) if seen and change.state == DRIFT else None


def _left_out(log: SchemaLog, found: Shapes, new: list[SchemaChange], now: datetime) -> Iterator[SchemaChange]:
    """A change for each undeclared column of an uncarried type that has no entry in the log yet."""
    known = {(change.source_table, change.column) for change in (*log.left_out(), *new)}
    for table in tables.SOURCES:
        for name, seen in found[table.name].columns.items():
            if name not in table.column_names and (table.name, name) not in known:
                change = _done(found, table.name, name, LEFT_OUT, DRIFT, now)
                reason = _why_left_out(found, change)
                if reason:
                    yield replace(change, type_after=str(seen), reason=reason)


def _by_blame(log: SchemaLog, found: Shapes, blamed: Sequence[Blame], now: datetime) -> Iterator[SchemaChange]:
    stopped = set(log.not_captured())
    for each in blamed:
        if each.is_stop and each.table not in stopped:
            stopped.add(each.table)
            yield replace(_done(found, each.table, each.column, NOT_CAPTURED, WAITING, now), reason=each.reason)
        elif not each.is_stop:
            seen = found[each.table].columns[str(each.column)]
            yield replace(_done(found, each.table, each.column, LEFT_OUT, DRIFT, now), type_after=str(seen), reason=each.reason)


def _done(found: Shapes, table: str, column: str | None, what: str, state: str, now: datetime) -> SchemaChange:
    shape_text = schema_diff.to_json(found[table])
    return SchemaChange(
        source_table=table, column=column, what=what, type_before=None, type_after=None, seen_at=now, state=state, shape=shape_text
    )


def _widen(settings: Settings, new: list[SchemaChange]) -> None:
    """Widen stored columns to the source's new types; runs in Spark, which changes the columns of lake tables."""
    wider = [
        (table, change.column, type_)
        for change in new
        if change.what == "widened" and (type_ := spark_type(change.type_after or ""))
        if change.column in (table := tables.source(change.source_table)).column_names
    ]
    if not wider:
        return
    from lakehouse.lake import catalog as lake_catalog
    from lakehouse.lake import stored_schema
    from lakehouse.spark import session

    # A separate session, because it is stopped below; land runs this check in a process of its own.
    spark = session.connect(settings)
    try:
        widened = [stored_schema.widen(spark, table, column, type_) for table, column, type_ in wider]
        if any(widened):
            lake_catalog.make_views(spark)
    finally:
        spark.stop()


def _said(log: SchemaLog, new: list[SchemaChange]) -> str:
    lines = [f"new: {change} ({change.state})" for change in new if change.what != "first seen" and change.state != WAITING]
    lines += [f"not declared: {change}" for change in log.in_state(DRIFT) if change not in new]
    lines += [f"gap: {change}" for change in log.in_state(GAP) if change not in new]
    waiting = log.in_state(WAITING)
    lines += [f"waits: {change}" for change in waiting]
    lines += [f"`python -m lakehouse accept {name}` lets {name} go on" for name in sorted({change.source_table for change in waiting})]
    return "\n".join(lines) or "the source's schema is as it was last seen, and nothing waits"
