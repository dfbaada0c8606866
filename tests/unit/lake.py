"""A lake into which records of Debezium's form are landed by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import refine
from lakehouse import ledger, storage, tables
from lakehouse.lake import state
from lakehouse.lake.state import TableState
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_BEGAN_AT = datetime(2026, 1, 1, tzinfo=UTC)
_OPS = {"c": "after", "u": "after", "r": "after", "d": "before"}


class Lake:
    """One lake; offsets count on from 1, and what is landed is of `epoch`."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        self.spark, self.settings, self.offset, self.epoch = spark, settings, 0, 1

    def land(self, table: str, *records: tuple[str, int, dict[str, Any] | None]) -> None:
        """One commit to bronze of (op, lsn, row) records; each its own transaction, committed lsn seconds after the beginning."""
        rows = [self._landed(table, *record) for record in records]
        frame = self.spark.createDataFrame(rows, ledger.CHANGES.schema_ddl())
        frame.write.format("delta").mode("append").insertInto(storage.BRONZE)

    def land_key_change(self, table: str, lsn: int, old: dict[str, Any], row: dict[str, Any], *halves: str) -> None:
        """One commit to bronze of a primary-key change, or of only one half of it (`d` or `c`)."""
        key_names = tables.source(table).key
        made = {"d": ("__debezium.newkey", row, old), "c": ("__debezium.oldkey", old, row)}
        rows = []
        for op in halves or made:
            header, other, own = made[op]
            linked = json.dumps({name: other[name] for name in key_names}).encode()
            values = list(self._landed(table, op, lsn, own))
            values[ledger.CHANGES.column_names.index("headers")] = [(header, linked)]
            rows.append(tuple(values))
        frame = self.spark.createDataFrame(rows, ledger.CHANGES.schema_ddl())
        frame.write.format("delta").mode("append").insertInto(storage.BRONZE)

    def refine(self, table: str) -> refine.RefineResult:
        return refine.run(self.spark, self.settings, table)

    def history(self, table: str, key: int) -> list[tuple[Any, ...]]:
        """Tier, start and end in seconds, and whether blocked, of each version of a user."""
        rows = self.spark.table(f"silver.{table}_history").where(f"user_id = {key}").orderBy("_valid_from").collect()
        return [(r["tier"], _seconds(r["_valid_from"]), _seconds(r["_valid_to"]), r["_is_blocked"]) for r in rows]

    def version(self, table: str) -> int:
        return storage.silver_version(self.spark, tables.source(table))

    def state(self, table: str) -> TableState:
        return state.store(self.settings).read(tables.source(table))

    def write_state(self, table: str, **values: Any) -> None:
        """Give the table's state these values, as nobody does outside of tests."""
        known = self.state(table)
        state.store(self.settings).advance(known, replace(known, **values))

    def _landed(self, table: str, op: str, lsn: int, row: dict[str, Any] | None) -> tuple[Any, ...]:
        self.offset += 1
        key_names = tables.source(table).key
        at = _BEGAN_AT + timedelta(seconds=lsn)
        source = {"schema": "shop", "table": table, "lsn": lsn, "txId": lsn, "ts_us": int(at.timestamp() * 1_000_000), "sequence": "[null]"}
        value = {"op": op, "source": source, "before": None, "after": None} | ({_OPS[op]: row} if op in _OPS else {})
        key = None if row is None else json.dumps({name: row[name] for name in key_names}).encode()
        place = (self.epoch, op, lsn, source["sequence"], lsn, at)
        return (table, at.date(), at, ledger.topic(table), 0, self.offset, at, key, json.dumps(value).encode(), [], *place)


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else (at.replace(tzinfo=UTC) - _BEGAN_AT).total_seconds()


def user(key: int, tier: str) -> dict[str, Any]:
    return {"user_id": key, "email": f"u{key}@x.io", "tier": tier}
