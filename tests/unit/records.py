"""Records of Debezium's form as rows of `bronze.changes`, for lakes that tests fill by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lakehouse import platform_tables, tables

BEGAN_AT = datetime(2026, 1, 1, tzinfo=UTC)
_OPS = {"c": "after", "u": "after", "r": "after", "d": "before"}


class Records:
    """What makes them: offsets count on from 1, and what is landed is of `epoch`."""

    def __init__(self) -> None:
        self.offset, self.epoch = 0, 1

    def append(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """One commit to bronze of these rows."""
        raise NotImplementedError

    def land(self, table: str, *records: tuple[str, int, dict[str, Any] | None]) -> None:
        """One commit to bronze of (op, lsn, row) records; each its own transaction, committed lsn seconds after the beginning."""
        self.append([self.landed(table, *record) for record in records])

    def land_key_change(self, table: str, lsn: int, old: dict[str, Any], row: dict[str, Any], *halves: str) -> None:
        """One commit to bronze of a primary-key change, or of only one half of it (`d` or `c`)."""
        key_names = tables.source(table).key
        made = {"d": ("__debezium.newkey", row, old), "c": ("__debezium.oldkey", old, row)}
        rows = []
        for op in halves or made:
            header, other, own = made[op]
            linked = json.dumps({name: other[name] for name in key_names}).encode()
            values = list(self.landed(table, op, lsn, own))
            values[platform_tables.CHANGES.column_names.index("headers")] = [(header, linked)]
            rows.append(tuple(values))
        self.append(rows)

    def landed(self, table: str, op: str, lsn: int, row: dict[str, Any] | None) -> tuple[Any, ...]:
        self.offset += 1
        key_names = tables.source(table).key
        at = BEGAN_AT + timedelta(seconds=lsn)
        source = {"schema": "shop", "table": table, "lsn": lsn, "txId": lsn, "ts_us": int(at.timestamp() * 1_000_000), "sequence": "[null]"}
        value = {"op": op, "source": source, "before": None, "after": None} | ({_OPS[op]: row} if op in _OPS else {})
        key = None if row is None else json.dumps({name: row[name] for name in key_names}).encode()
        place = (self.epoch, op, lsn, source["sequence"], lsn, at)
        return (table, at.date(), at, platform_tables.topic(table), 0, self.offset, at, key, json.dumps(value).encode(), [], *place)


def seconds(at: datetime | None) -> float | None:
    """Seconds since the beginning; a naive time is UTC."""
    return None if at is None else (at.replace(tzinfo=UTC) - BEGAN_AT).total_seconds()


def user(key: int, tier: str) -> dict[str, Any]:
    return {"user_id": key, "email": f"u{key}@x.io", "tier": tier}
