"""The independent oracle of silver: the source's own rows, and its audit log folded in order.

Nothing of EBAP's transforms is used here. State is `SELECT *` from Postgres; history is the log that a trigger wrote, a row a
change, joined with the commit time Postgres itself keeps (`track_commit_timestamp`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

from lakehouse.contract import Column, Table

_TICK = timedelta(microseconds=1)
# jsonb is one value written in many ways; these columns compare as parsed JSON.
_JSON = frozenset({"preferences", "attributes", "shipping_address"})

Row = tuple[Any, ...]


class Version(NamedTuple):
    """One version of a key; `valid_from` is None where a baseline row opened it, before the log began."""

    values: Row
    valid_from: datetime | None
    valid_to: datetime | None
    previous: Row | None = None


class _Change(NamedTuple):
    """One row of the log: a truncate is put among the changes of every key."""

    seq: int
    op: str
    values: Row | None
    moved_from: Row | None
    txid: int
    committed_at: datetime | None


def expected_state(cursor: Any, table: Table) -> dict[Row, Row]:
    """Rows of the source table by key."""
    cursor.execute(f"SELECT {', '.join(table.column_names)} FROM shop.{table.name}")
    return _by_key(table, (_normal_row(table, row) for row in cursor.fetchall()))


def actual_state(rows: list[Any], table: Table) -> dict[Row, Row]:
    """Rows of `silver.<table>` by key."""
    return _by_key(table, (_normal_row(table, [row[name] for name in table.column_names]) for row in rows))


def expected_history(cursor: Any, table: Table) -> dict[Row, list[Version]]:
    """Versions of each key, folded from the audit log."""
    cursor.execute(
        "SELECT seq, op, key, row, moved_from, txid, committed_at FROM audit.commits WHERE table_name = %s ORDER BY seq",
        (table.name,),
    )
    changes: dict[Row, list[_Change]] = defaultdict(list)
    truncates = []
    for seq, op, key, image, moved_from, txid, committed_at in cursor.fetchall():
        moved = _key_of(table, moved_from) if moved_from else None
        change = _Change(seq, op, image and _image_row(table, image), moved, txid, committed_at and _naive(committed_at))
        truncates.append(change) if op == "t" else changes[_key_of(table, key)].append(change)
    origins = _origins(changes)
    folded = {key: _fold(table, key, sorted([*log, *truncates]), origins) for key, log in changes.items()}
    return {key: versions for key, versions in folded.items() if versions}


def actual_history(rows: list[Any], table: Table) -> dict[Row, list[Version]]:
    """Versions of each key in `silver.<table>_history`."""
    found: dict[Row, list[Version]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["_valid_from"]):
        values = _normal_row(table, [row[name] for name in table.column_names])
        ended_at = row["_valid_to"] and _naive(row["_valid_to"])
        previous = row["_previous_key"] and tuple(json.loads(row["_previous_key"]).values())
        found[_key(table, values)].append(Version(values, _naive(row["_valid_from"]), ended_at, previous))
    return dict(found)


def differences(expected: dict[Row, Any], actual: dict[Row, Any], limit: int = 5) -> list[str]:
    """What differs, a line a key: empty where both are the same. A baseline's start compares with anything."""
    found = []
    for key in sorted(expected.keys() | actual.keys(), key=str):
        want, have = expected.get(key), actual.get(key)
        if want != have and not _same_versions(want, have):
            found.append(f"{key}: expected {want!r}\n    got      {have!r}")
    return found[:limit] + ([f"... and {len(found) - limit} more keys"] if len(found) > limit else [])


def _same_versions(want: Any, have: Any) -> bool:
    if not isinstance(want, list) or not isinstance(have, list) or len(want) != len(have):
        return False
    return all(h._replace(valid_from=w.valid_from and h.valid_from) == w for w, h in zip(want, have, strict=True))


def _origins(changes: dict[Row, list[_Change]]) -> dict[tuple[int, Row], Row | None]:
    """By transaction and key that a row ended it under: the key under which others had last seen that row; None for a new row."""
    log = sorted((change, key) for key, found in changes.items() for change in found)
    ended: dict[tuple[int, Row], Row | None] = {}
    left: dict[tuple[int, Row], Row | None] = {}
    for change, key in log:
        place = (change.txid, key)
        if change.op == "d":
            left[place] = ended.pop(place, key)
        elif change.moved_from:
            ended[place] = left[change.txid, change.moved_from]
        elif change.op == "c":
            ended[place] = None
        else:
            ended.setdefault(place, key)
    return ended


def _fold(table: Table, key: Row, log: list[_Change], origins: dict[tuple[int, Row], Row | None]) -> list[Version]:
    versions: list[Version] = []
    effective_at: datetime | None = None
    for txid, group in groupby(log, key=lambda change: change.txid):
        last = list(group)[-1]
        live = bool(versions) and versions[-1].valid_to is None
        if last.op == "r":
            assert last.values is not None
            versions.append(Version(last.values, None, None))
            continue
        if last.values is None and not live:
            continue
        assert last.committed_at is not None
        effective_at = last.committed_at if effective_at is None else max(last.committed_at, effective_at + _TICK)
        origin = origins.get((txid, key))
        previous = origin if last.values is not None and origin != key else None
        if live and versions[-1].values == last.values and not previous:
            continue
        if live:
            versions[-1] = versions[-1]._replace(valid_to=effective_at)
        if last.values is not None:
            versions.append(Version(last.values, effective_at, None, previous))
    return versions


def _image_row(table: Table, image: dict[str, Any]) -> Row:
    return tuple(_from_json(column, image.get(column.name)) for column in table.columns)


def _key_of(table: Table, key: dict[str, Any]) -> Row:
    return tuple(_from_json(table.column(name), key[name]) for name in table.key)


def _from_json(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.name in _JSON:
        return _normal(column, json.dumps(value))
    if column.type == "TIMESTAMP":
        return _naive(datetime.fromisoformat(value))
    if column.type == "DATE":
        return date.fromisoformat(value)
    if column.type == "BINARY":
        return bytes.fromhex(value.removeprefix("\\x"))
    return _normal(column, value)


def _normal_row(table: Table, row: Any) -> Row:
    return tuple(_normal(column, value) for column, value in zip(table.columns, row, strict=True))


def _normal(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.name in _JSON:
        return json.dumps(json.loads(value) if isinstance(value, str) else value, sort_keys=True)
    if column.type.startswith("DECIMAL"):
        scale = int(column.type.rstrip(")").split(",")[1])
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-scale))
    if column.type == "TIMESTAMP":
        return _naive(value)
    if column.type == "BINARY":
        return bytes(value)
    if column.type == "DOUBLE":
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _naive(moment: datetime) -> datetime:
    """UTC without its name; what Spark collects is in the time zone of this machine."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _by_key(table: Table, rows: Any) -> dict[Row, Row]:
    return {_key(table, row): row for row in rows}


def _key(table: Table, row: Row) -> Row:
    return tuple(row[table.column_names.index(name)] for name in table.key)
