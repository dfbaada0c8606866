"""The schema's gate: look at the source's catalog, record what changed in `silver.schema_changes`, and apply what is safe.

A look reads two rows of facts a table and nothing else. The lake is asked only where the picture, or what is declared, is not the
one of the last look; that one's digest is kept in a file, which may be lost at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from lakehouse import tables
from lakehouse.lake import ddl, epochs
from lakehouse.settings import Settings
from lakehouse.source import apply, catalog, connect, mending, schema_diff, setup, types
from lakehouse.source.compatibility import spark_type
from lakehouse.source.failures import Kind
from lakehouse.source.mending import Blame
from lakehouse.source.schema_log import DRIFT, LEFT_OUT, NOT_CAPTURED, WAITING, SchemaChange

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Shapes = dict[str, schema_diff.Shape]


class GateError(RuntimeError):
    """The source cannot be looked at, or is another one; the message names the cure."""


def look(settings: Settings, only_if_changed: bool = False) -> str:
    """Look once and say what is not as declared; with `only_if_changed` nothing is said where the last look saw the same.

    A connector that has failed is mended, see `mending`. Raises GateError where the source does not answer, and where it is another
    Postgres: its capture is stopped then.
    """
    found, identity = _source(settings)
    digest = hashlib.sha256(json.dumps([identity, _texts(found), *map(ddl.shape, tables.SOURCES)]).encode()).hexdigest()
    failed = mending.failure(settings)
    if failed and failed.kind is Kind.OTHER:
        # Nobody's fault, and the source answers: the capture must not wait for Spark.
        print(f"the capture had failed, and is started again: {failed.cause}")
        connect.restart_failed(settings)
        failed = None
    if only_if_changed and not failed and seen_file(settings).is_file() and seen_file(settings).read_text() == digest:
        return ""
    from lakehouse.spark import session

    # Never the process's own session: land, which asks every half minute, runs this in a process beside its own.
    spark = session.connect(settings)
    try:
        _refuse_another(settings, spark, identity)
        new = record_found(spark, found, mending.blamed(settings, found, failed))
        said = _said(spark, new)
        try:
            # A position that is gone does not come back by another try.
            mending.follow(settings, spark, has_failed=bool(failed and failed.kind is not Kind.POSITION))
        except connect.WorkerError as error:
            return f"{said}\nthe connector is to follow at the next look: {error}"
        seen_file(settings).parent.mkdir(parents=True, exist_ok=True)
        seen_file(settings).write_text(digest)
        return said
    finally:
        spark.stop()


def record(settings: Settings, spark: SparkSession) -> list[SchemaChange]:
    """Record every change since the last look, apply what is safe, and return them; running it again records nothing."""
    return record_found(spark, _source(settings)[0])


def mend(settings: Settings, spark: SparkSession) -> list[SchemaChange]:
    """Record whose fault it is that the connector has failed; empty where it is nobody's."""
    found = _source(settings)[0]
    blamed = mending.blamed(settings, found, mending.failure(settings))
    return record_found(spark, found, blamed) if blamed else []


def seen_file(settings: Settings) -> Path:
    """Where the digest of the last look stands."""
    return settings.control_dir / "schema.seen"


def _source(settings: Settings) -> tuple[Shapes, str | None]:
    try:
        with setup.owner(settings) as cursor:
            found = catalog.read_tables(cursor, tables.SOURCES, settings.source_schema)
    except psycopg2.OperationalError as error:
        raise GateError(f"the source does not let its owner in: {' '.join(str(error).split())}") from None
    return {table.name: schema_diff.of(found.get(table.name)) for table in tables.SOURCES}, apply.source_identity(settings)[0]


def _texts(found: Shapes) -> dict[str, str]:
    return {name: schema_diff.to_json(each) for name, each in sorted(found.items())}


def _refuse_another(settings: Settings, spark: SparkSession, identity: str | None) -> None:

    known = epochs.source_identity(spark)
    if known is None or identity is None or identity == known.identity:
        return
    # Its positions begin anew, in the old epoch: every change would be taken for an old one.
    connect.stop(settings)
    raise GateError(
        f"the source is another Postgres ({identity}) than the lake was filled from ({known.identity}): the capture is stopped. "
        "Point back to that one and run `python -m lakehouse.source apply`, or take this one as the next epoch: "
        "`python -m lakehouse accept epoch`"
    )


def record_found(spark: SparkSession, found: Shapes, blamed: Sequence[Blame] = ()) -> list[SchemaChange]:
    """The same of what was found, and what the capture cannot go on with; `found` has every declared table, one that is gone as `GONE`."""
    from lakehouse.lake import storage
    from lakehouse.spark import delta

    try:
        return _recorded(spark, found, blamed)
    except Exception as error:  # see delta: its class depends on the kind of session
        if not (isinstance(error, storage.StorageError) or delta.is_overtaken(error)):
            raise
        # Land's look and a person's met: what the other recorded is not new any more.
        return _recorded(spark, found, blamed)


def _recorded(spark: SparkSession, found: Shapes, blamed: Sequence[Blame]) -> list[SchemaChange]:
    from lakehouse.lake import storage
    from lakehouse.platform_tables import SCHEMA_CHANGES
    from lakehouse.source import schema_log

    read_at = storage.version(spark, SCHEMA_CHANGES.full_name)
    known = schema_log.shapes(spark)
    now = datetime.now(UTC)
    new = []
    for table in tables.SOURCES:
        before = schema_diff.from_json(known[table.name]) if table.name in known else None
        new += schema_diff.changes(table, before, found[table.name], now)
    new = [replace(change, reason=_why_left_out(found, change)) for change in new]
    new += _left_out(spark, found, new, now)
    new += _by_blame(spark, found, blamed, now)
    # Before it is recorded: what a crash leaves unrecorded is seen again, and what is wide enough is not widened twice.
    _widen(spark, new)
    if new:
        schema_log.append(spark, new, read_at)
    for table in tables.SOURCES:
        schema_log.apply_declared(spark, table)
    return new


def _why_left_out(found: Shapes, change: SchemaChange) -> str | None:
    """Why the capture leaves out the column of a change, as it is now."""
    seen = found[change.source_table].columns.get(change.column or "")
    return types.why_left_out(seen.type, bool(seen.labels)) if seen and change.state == DRIFT else None


def _left_out(spark: SparkSession, found: Shapes, new: list[SchemaChange], now: datetime) -> Iterator[SchemaChange]:
    """A record of each column that is left out and was there before anybody said so."""
    from lakehouse.source import schema_log

    known = {(change.source_table, change.column) for change in (*schema_log.left_out(spark), *new)}
    for table in tables.SOURCES:
        for name, seen in found[table.name].columns.items():
            if name not in table.column_names and (table.name, name) not in known:
                change = _done(found, table.name, name, LEFT_OUT, DRIFT, now)
                reason = _why_left_out(found, change)
                if reason:
                    yield replace(change, type_after=str(seen), reason=reason)


def _by_blame(spark: SparkSession, found: Shapes, blamed: Sequence[Blame], now: datetime) -> Iterator[SchemaChange]:
    from lakehouse.source import schema_log

    stopped = set(schema_log.not_captured(spark)) if blamed else set()
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


def _widen(spark: SparkSession, new: list[SchemaChange]) -> None:
    from lakehouse.lake import catalog as lake
    from lakehouse.lake import stored_schema

    is_widened = False
    for change in new:
        table = tables.source(change.source_table)
        type_ = spark_type(change.type_after or "")
        if change.what == "widened" and type_ and change.column in table.column_names:
            is_widened |= stored_schema.widen(spark, table, change.column, type_)
    if is_widened:
        lake.make_views(spark)


def _said(spark: SparkSession, new: list[SchemaChange]) -> str:
    from lakehouse.source import schema_log

    lines = [f"new: {change} ({change.state})" for change in new if change.what != "first seen" and change.state != WAITING]
    lines += [f"not declared: {change}" for change in schema_log.in_state(spark, DRIFT) if change not in new]
    waiting = schema_log.in_state(spark, WAITING)
    lines += [f"waits: {change}" for change in waiting]
    lines += [f"`python -m lakehouse accept {name}` lets {name} go on" for name in sorted({change.source_table for change in waiting})]
    return "\n".join(lines) or "the source's schema is as it was last seen, and nothing waits"
