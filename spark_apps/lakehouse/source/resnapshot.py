"""Incremental snapshots: the running connector reads a source table again while it captures changes.

The connector reads the rows in chunks. It writes two watermarks per chunk into `ebap.signal` and discards a row that changes between
them. The rows arrive as read events, which open no new version if nothing was missed. A repeated request only reads the rows again.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lakehouse import arguments, keys, tables, wait
from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.settings import Settings
from lakehouse.source import connect, connection

_POLL_S = 0.5
# Field of the connector's offset while an incremental snapshot runs.
_RUNNING = "incremental_snapshot_collections"


@dataclass(frozen=True, kw_only=True)
class SnapshotResult:
    """Id of a snapshot request, for `has_ended`, and whether the snapshot was awaited."""

    table: str
    id: str
    has_ended: bool
    changed: bool = True


def snapshot(settings: Settings, table: Table, condition: str | None = None) -> str:
    """Request a snapshot of the table, or of the rows that meet an SQL condition; returns an id for `has_ended`.

    Raises EbapError if the source refuses the condition (the connector would only log this and skip the table), or if the rows have
    dates that the connector would misread.
    """
    import psycopg2  # Airflow's parser imports this module without a driver

    # The connector takes names as regular expressions.
    name = re.escape(f"{settings.source_schema}.{table.name}")
    request: dict[str, Any] = {"type": "incremental", "data-collections": [name]}
    if condition:
        request["additional-conditions"] = [{"data-collection": name, "filter": condition}]
    number = f"ebap-{secrets.token_hex(8)}"
    try:
        _try(settings, table, condition)
    except psycopg2.Error as error:
        raise EbapError(f"the source refuses the condition {condition!r} of {table.name}: {' '.join(str(error).split())}") from None
    with connection.owner(settings) as cursor:
        early = connection.dates_before_christ(cursor, settings.source_schema, table, condition)
        if early:
            raise EbapError(
                f"{table.name} has dates before the year 1 in {', '.join(early)}, which a snapshot would read as years of our era",
                "take them away at the source, or leave these rows out with --where",
            )
        cursor.execute("INSERT INTO ebap.signal (id, type, data) VALUES (%s, 'execute-snapshot', %s)", [number, json.dumps(request)])
    # A connector past this LSN has received the request.
    return f"{number}@{connection.mark(settings)}"


def condition_of(settings: Settings, table: Table, wanted: Sequence[keys.Key]) -> str:
    """SQL condition that selects these keys."""
    from psycopg2 import sql

    columns = sql.SQL(", ").join(sql.Identifier(name) for name in table.key)
    rows = sql.SQL(", ").join(sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, key))) for key in wanted)
    with connection.owner(settings) as cursor:
        return str(sql.SQL("({}) IN ({})").format(columns, rows).as_string(cursor))


def has_ended(settings: Settings, snapshot_id: str) -> bool:
    """Whether this snapshot and all requested before it have been read and sent.

    Raises EbapError if the Connect worker does not answer.
    """
    offset = connect.running_offset(settings)
    return offset.get("lsn", 0) >= _number(snapshot_id.partition("@")[2]) and _RUNNING not in offset


def wait_until_read(settings: Settings, snapshot_id: str, timeout_s: float) -> None:
    """Return once the snapshot has ended; raises EbapError after `timeout_s`."""
    for _ in wait.looks(timeout_s, every_s=_POLL_S):
        if has_ended(settings, snapshot_id):
            return
    position = json.dumps(connect.running_offset(settings))
    raise EbapError(f"{snapshot_id} has not been read after {timeout_s:.0f} s; the connector is at {position}")


def ask(settings: Settings, given: argparse.Namespace) -> SnapshotResult:
    """Run `resnapshot` with parsed arguments; raises EbapError for an invalid request and at the time limit."""
    table = tables.source(given.table)
    if ";" in (given.where or ""):
        raise EbapError(f"the condition {given.where!r} holds a semicolon", "give one condition, as it stands after WHERE")
    condition = condition_of(settings, table, keys.parse(table, given.keys)) if given.keys else given.where
    made = snapshot(settings, table, condition)
    if given.wait:
        wait_until_read(settings, made, given.wait)
    return SnapshotResult(table=table.name, id=made, has_ended=bool(given.wait))


def light(argv: list[str]) -> Callable[[Settings], SnapshotResult]:
    """Parse the arguments of `resnapshot`; returns the function that runs it."""
    parser = argparse.ArgumentParser(prog="resnapshot", description="Read a source table again from the source.")
    arguments.resnapshot(parser)
    return partial(ask, given=parser.parse_args(argv))


def _try(settings: Settings, table: Table, condition: str | None) -> None:
    """Let the source plan a query with the condition; raises psycopg2.Error if it is invalid."""
    from psycopg2 import sql

    if not condition:
        return
    with connection.owner(settings) as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
        name = sql.Identifier(settings.source_schema, table.name).as_string(cursor)
        cursor.execute(f"SELECT 1 FROM {name} WHERE (\n{condition}\n) LIMIT 0")


def _number(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)
