"""The schema's gate: look at the source's catalog, record what changed in `silver.schema_changes`, and apply what is safe.

A look reads two rows of facts a table and nothing else. The lake is asked only where the picture, or what is declared, is not the
one of the last look; that one's digest is kept in a file, which may be lost at any time.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2

from infra.capture import apply, catalog, shape, source, worker
from infra.capture.compatibility import spark_type
from lakehouse import ddl, epochs, tables
from lakehouse.schema_changes import DRIFT, WAITING, SchemaChange
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Shapes = dict[str, shape.Shape]


class GateError(RuntimeError):
    """The source cannot be looked at, or is another one; the message names the cure."""


def look(settings: Settings, only_if_changed: bool = False) -> str:
    """Look once and say what is not as declared; with `only_if_changed` nothing is said where the last look saw the same.

    Raises GateError where the source does not answer, and where it is another Postgres: its capture is stopped then.
    """
    found, identity = _source(settings)
    digest = hashlib.sha256(json.dumps([identity, _texts(found), *map(ddl.shape, tables.SOURCES)]).encode()).hexdigest()
    if only_if_changed and seen_file(settings).is_file() and seen_file(settings).read_text() == digest:
        return ""
    from lakehouse import session

    # Never the process's own session: land, which asks every minute, runs this in a process beside its own.
    spark = session.connect(settings)
    try:
        _refuse_another(settings, spark, identity)
        new = record_found(spark, found)
        seen_file(settings).parent.mkdir(parents=True, exist_ok=True)
        seen_file(settings).write_text(digest)
        return _said(spark, new)
    finally:
        spark.stop()


def record(settings: Settings, spark: SparkSession) -> list[SchemaChange]:
    """Record every change since the last look, apply what is safe, and return them; running it again records nothing."""
    return record_found(spark, _source(settings)[0])


def seen_file(settings: Settings) -> Path:
    """Where the digest of the last look stands."""
    return settings.control_dir / "schema.seen"


def _source(settings: Settings) -> tuple[Shapes, str | None]:
    try:
        with source.owner(settings) as cursor:
            found = catalog.read_tables(cursor, tables.SOURCES, settings.source_schema)
    except psycopg2.OperationalError as error:
        raise GateError(f"the source does not let its owner in: {' '.join(str(error).split())}") from None
    return {table.name: shape.of(found.get(table.name)) for table in tables.SOURCES}, apply.source_identity(settings)[0]


def _texts(found: Shapes) -> dict[str, str]:
    return {name: shape.to_json(each) for name, each in sorted(found.items())}


def _refuse_another(settings: Settings, spark: SparkSession, identity: str | None) -> None:

    known = epochs.source_identity(spark)
    if known is None or identity is None or identity == known.identity:
        return
    # Its positions begin anew, in the old epoch: every change would be taken for an old one.
    worker.stop(settings)
    raise GateError(
        f"the source is another Postgres ({identity}) than the lake was filled from ({known.identity}): the capture is stopped. "
        "Point back to that one and run `python -m infra.capture apply`, or take this one as the next epoch: "
        "`python -m lakehouse accept epoch`"
    )


def record_found(spark: SparkSession, found: Shapes) -> list[SchemaChange]:
    """The same of what was found; `found` has every declared table, one that is gone as `shape.GONE`."""
    from lakehouse import delta, storage

    try:
        return _recorded(spark, found)
    except Exception as error:  # see delta: its class depends on the kind of session
        if not (isinstance(error, storage.StorageError) or delta.is_overtaken(error)):
            raise
        # Land's look and a person's met: what the other recorded is not new any more.
        return _recorded(spark, found)


def _recorded(spark: SparkSession, found: Shapes) -> list[SchemaChange]:
    from lakehouse import schema_changes, storage
    from lakehouse.ledger import SCHEMA_CHANGES

    read_at = storage.version(spark, SCHEMA_CHANGES.full_name)
    known = schema_changes.shapes(spark)
    now = datetime.now(UTC)
    new = []
    for table in tables.SOURCES:
        before = shape.from_json(known[table.name]) if table.name in known else None
        new += shape.changes(table, before, found[table.name], now)
    # Before it is recorded: what a crash leaves unrecorded is seen again, and what is wide enough is not widened twice.
    _widen(spark, new)
    if new:
        schema_changes.append(spark, new, read_at)
    for table in tables.SOURCES:
        schema_changes.apply_declared(spark, table)
    return new


def _widen(spark: SparkSession, new: list[SchemaChange]) -> None:
    from lakehouse import catalog as lake
    from lakehouse import shapes

    is_widened = False
    for change in new:
        table = tables.source(change.source_table)
        type_ = spark_type(change.type_after or "")
        if change.what == "widened" and type_ and change.column in table.column_names:
            is_widened |= shapes.widen(spark, table, change.column, type_)
    if is_widened:
        lake.make_views(spark)


def _said(spark: SparkSession, new: list[SchemaChange]) -> str:
    from lakehouse import schema_changes

    lines = [f"new: {change} ({change.state})" for change in new if change.what != "first seen" and change.state != WAITING]
    lines += [f"not declared: {change}" for change in schema_changes.in_state(spark, DRIFT) if change not in new]
    waiting = schema_changes.in_state(spark, WAITING)
    lines += [f"waits: {change}" for change in waiting]
    lines += [f"`python -m lakehouse accept {name}` lets {name} go on" for name in sorted({change.source_table for change in waiting})]
    return "\n".join(lines) or "the source's schema is as it was last seen, and nothing waits"
