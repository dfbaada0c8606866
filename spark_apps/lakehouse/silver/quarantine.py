"""Quarantine of one source table without Spark: adds records that cannot be used, and finds the keys that they block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse import platform_tables
from lakehouse.lake import small_table
from lakehouse.silver import bronze
from lakehouse.transforms.records import envelope
from lakehouse.transforms.records.received import Record

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.delta.log import Snapshot
    from lakehouse.lake.lake import Lake
    from lakehouse.transforms.records.envelope import Decoder, Fault, Place

_TABLE = platform_tables.QUARANTINE
CONFLICTING = "conflicting_duplicate"  # never replayed: the table holds the other record
_NO_EPOCH = "no epoch header"  # part of the detail of a record without one


def enter(lake: Lake, table: Table, faults: Sequence[Fault]) -> None:
    """Add the records that quarantine does not hold yet; idempotent.

    A replayed record that is faulty again is set back to waiting: the code that runs now cannot read it.
    """
    if not faults:
        return
    held = _rows(lake, table)
    wanted = dict(_row(table, fault) for fault in faults)
    known = {_identity(row): row for row in held.rows}
    new = [row for identity, row in wanted.items() if identity not in known]
    again = [row for identity, row in known.items() if identity in wanted and row["replayed_at"]]
    held.write({id(row): {**row, "replayed_at": None} for row in again}, new)


def _rows(lake: Lake, table: Table) -> small_table.Rows:
    return small_table.Rows(lake, _TABLE, {"source_table": [table.name]})


class Held:
    """The records of a table to replay: each with all of its rows in quarantine, replayed ones included."""

    def __init__(self, lake: Lake, table: Table, reason: str | None) -> None:
        self._lake, self._table, self._held = lake, table, _rows(lake, table)
        by_place: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in self._held.rows:
            if row["reason"] != CONFLICTING:
                by_place.setdefault(_place(row), []).append(row)
        self.records = {
            where: rows
            for where, rows in by_place.items()
            if any(row["replayed_at"] is None and reason in (None, row["reason"]) for row in rows)
        }

    def as_landed(self, snapshot: Snapshot) -> list[Record]:
        """The records, each once, from bronze; those it no longer holds from quarantine, which stores no headers and no epoch.

        The epoch of such a record is known only if the lake has had a single epoch.
        """
        offsets = {where[2] for where in self.records}
        found = {place(record): record for record in bronze.at(self._lake, self._table, "offset", offsets, snapshot)}
        source = bronze.source(snapshot)
        only_epoch = 1 if source is None or source.epoch == 1 else None
        return [found.get(where) or _kept(rows[0], only_epoch) for where, rows in self.records.items()]

    def settle(self, faults: Mapping[tuple[Any, ...], Fault]) -> None:
        """Mark the rows of readable records as replayed, and update the reason of the others; `faults` by place.

        An unreadable record keeps one row, the first that waits.
        """
        now, changed = datetime.now(UTC), dict[int, dict[str, Any] | None]()
        for where, rows in self.records.items():
            fault = faults.get(where)
            ordered = sorted(rows, key=lambda row: (row["replayed_at"] is not None, row["first_seen_at"], row["reason"]))
            for number, row in enumerate(ordered):
                if fault is None:
                    updated: dict[str, Any] | None = row if row["replayed_at"] else {**row, "replayed_at": now}
                else:
                    updated = None if number else {**row, "reason": fault.reason, "detail": fault.detail, "replayed_at": None}
                if updated != row:
                    changed[id(row)] = updated
        self._held.write(changed)


def place(record: Record) -> tuple[Any, ...]:
    """Identity of a record; includes its hash, since offsets start at 0 again in a topic that was created again."""
    return record.topic, record.partition, record.offset, _sha256(record.value)


def waiting(lake: Lake, table: Table, decoder: Decoder, snapshot: Snapshot) -> list[Place]:
    """Keys and positions of the table's waiting records, as of a snapshot of bronze.

    Positions are parsed again: quarantine stores the received bytes only. Records that are readable by now wait for a replay too.
    """
    held = [row for row in lake.read(_TABLE, where={"source_table": [table.name]}).to_pylist() if is_waiting(row)]
    if not held:
        return []
    return envelope.places(decoder.decode(_as_landed(lake, table, held, snapshot)), decoder.table, faulty_only=False)


def _as_landed(lake: Lake, table: Table, held: list[dict[str, Any]], snapshot: Snapshot) -> Iterable[Record]:
    """The records of rows of quarantine, with their epoch from bronze; a lake with one epoch needs no lookup."""
    source = bronze.source(snapshot)
    if source is None or source.epoch == 1:
        return [_kept(row, 1) for row in held]
    wanted = set(map(_place, held))
    found = bronze.at(lake, table, "offset", {row["offset"] for row in held}, snapshot)
    return [record for record in found if place(record) in wanted]


def _kept(row: Mapping[str, Any], epoch: int | None) -> Record:
    """The record of a row of quarantine, with the given epoch unless it arrived without one."""
    known = None if _NO_EPOCH in (row["detail"] or "") else epoch
    return Record(row["topic"], row["partition"], row["offset"], known, row["key"], row["value"])


def beaten(lake: Lake, table: Table, decoder: Decoder, contested: Iterable[Any], snapshot: Snapshot) -> list[Fault]:
    """The records of a contested identity that have the lesser content hash, from this run or an earlier one."""
    winners = {(each.key, each.epoch, each.lsn, each.kind): each.content_hash for each in contested}
    found = []
    for record in bronze.at(lake, table, "lsn", {place[2] for place in winners}, snapshot) if winners else []:
        for change in decoder.decode([record]).changes:
            winner = winners.get((decoder.key_of(change.values), change.epoch, change.lsn, change.kind))
            if winner is not None and winner != change.content_hash:
                detail = "another record of this change has the greater content hash"
                found.append(envelope.Fault(reason=CONFLICTING, detail=detail, record=record, values=change.values, lsn=change.lsn))
    return found


def _row(table: Table, fault: Fault) -> tuple[tuple[Any, ...], dict[str, Any]]:
    record, sha256 = fault.record, _sha256(fault.record.value)
    row = {
        "source_table": table.name,
        "reason": fault.reason,
        "detail": fault.detail,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key,
        "value": record.value,
        "sha256": sha256,
        "first_seen_at": datetime.now(UTC),
        "replayed_at": None,
    }
    return _identity(row), row


def _sha256(value: bytes | None) -> str | None:
    return None if value is None else hashlib.sha256(value).hexdigest()


def is_waiting(row: Mapping[str, Any]) -> bool:
    """Whether a row of quarantine waits for a replay."""
    return row["replayed_at"] is None and row["reason"] != CONFLICTING


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["topic"], row["partition"], row["offset"], row["sha256"]


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*_place(row), row["reason"])
