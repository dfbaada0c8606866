"""Quarantine of one source table without Spark: entering records that cannot be used, and the keys that wait for those entered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import ledger
from lakehouse.lake import reading
from lakehouse.lake.commit import commit
from lakehouse.silver import bronze
from lakehouse.transforms.records import arrow, envelope
from lakehouse.transforms.records.received import Record

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.lake.lake import Lake
    from lakehouse.lake.log import Snapshot
    from lakehouse.transforms.records.envelope import Decoder, Fault, Place

_TABLE = ledger.QUARANTINE
_CONFLICTING = "conflicting_duplicate"  # waits for nothing: the table holds its twin
_IDENTITY = ("topic", "partition", "offset", "reason", "sha256")
_NO_EPOCH = "no epoch header"  # what the detail of a record says that came without one


def enter(lake: Lake, table: Table, faults: Sequence[Fault]) -> None:
    """Add the records that quarantine does not hold yet; entering them again adds nothing.

    One that had been replayed waits again: code that reads less than the replay's has taken it out of the table.
    """
    if not faults:
        return
    snapshot = lake.snapshot(_TABLE)
    own = {"source_table": [table.name]}
    held = reading.located(lake.con, snapshot, lake.store, where=own)
    known = set(zip(*(held[name].to_pylist() for name in _IDENTITY), strict=True))
    wanted = {identity: row for identity, row in map(_row, faults)}
    replayed = held.filter(pc.is_valid(held["replayed_at"]))
    again = {identity for identity in zip(*(replayed[name].to_pylist() for name in _IDENTITY), strict=True) if identity in wanted}
    new = [row for identity, row in wanted.items() if identity not in known]
    if not new and not again:
        return
    names = [name for name in _TABLE.column_names if name != "source_table"]
    rows, removes = pa.Table.from_pylist(new, schema=_schema(names)), []
    if again:
        # Few, and never many at once: their files are written anew.
        is_again = [identity in again for identity in zip(*(held[name].to_pylist() for name in _IDENTITY), strict=True)]
        removes = sorted(set(held.filter(pa.array(is_again))[reading.FILE].to_pylist()))
        touched = pc.is_in(held[reading.FILE], value_set=pa.array(removes))
        kept = held.filter(touched).select([*names])
        waits = pa.array(is_again).filter(touched.combine_chunks())
        opened = pc.if_else(waits, pa.scalar(None, kept["replayed_at"].type), kept["replayed_at"])
        kept = kept.set_column(kept.column_names.index("replayed_at"), "replayed_at", opened)
        rows = pa.concat_tables([rows, kept.cast(rows.schema)])
    writes = [({"source_table": table.name}, rows)]
    commit(lake.log(_TABLE), snapshot, operation="MERGE", writes=writes, removes=removes, reads=own)


def waiting(lake: Lake, table: Table, decoder: Decoder, snapshot: Snapshot) -> list[Place]:
    """Keys and positions of the table's records that wait, as of a snapshot of bronze.

    Positions are read again from the bytes: quarantine keeps what was received, not what was made of it. One that could be read by now
    counts too: it waits until it is replayed.
    """
    held = lake.read(_TABLE, ("reason", "detail", *_IDENTITY[:3], "key", "value", "sha256", "replayed_at"), {"source_table": [table.name]})
    held = held.filter(pc.and_(pc.is_null(held["replayed_at"]), pc.not_equal(held["reason"], _CONFLICTING)))
    if not held.num_rows:
        return []
    return envelope.places(decoder.decode(_as_landed(lake, table, held, snapshot)), decoder.table, faulty_only=False)


def _as_landed(lake: Lake, table: Table, held: pa.Table, snapshot: Snapshot) -> Iterable[Record]:
    """The records of rows of quarantine, which keeps no epoch: bronze has it, and a lake with one epoch needs no look."""
    source = bronze.source(snapshot)
    if source is None or source.epoch == 1:
        for row in held.to_pylist():
            epoch = None if _NO_EPOCH in (row["detail"] or "") else 1
            yield Record(row["topic"], row["partition"], row["offset"], epoch, row["key"], row["value"])
        return
    wanted = set(zip(*(held[name].to_pylist() for name in ("topic", "partition", "offset", "sha256")), strict=True))
    for record in bronze.at(lake, table, "offset", set(held["offset"].to_pylist()), snapshot):
        if (record.topic, record.partition, record.offset, _sha256(record.value)) in wanted:
            yield record


def beaten(lake: Lake, table: Table, decoder: Decoder, contested: Iterable[Any], snapshot: Snapshot) -> list[Fault]:
    """The records that came with another's identity and the lesser content hash, whether they came now or in an earlier run."""
    winners = {(each.key, each.epoch, each.lsn, each.kind): each.content_hash for each in contested}
    found = []
    for record in bronze.at(lake, table, "lsn", {place[2] for place in winners}, snapshot) if winners else []:
        for change in decoder.decode([record]).changes:
            winner = winners.get((decoder.key_of(change.values), change.epoch, change.lsn, change.kind))
            if winner is not None and winner != change.content_hash:
                detail = "another record of this change has the greater content hash"
                found.append(envelope.Fault(reason=_CONFLICTING, detail=detail, record=record, values=change.values, lsn=change.lsn))
    return found


def _row(fault: Fault) -> tuple[tuple[Any, ...], dict[str, Any]]:
    record, sha256 = fault.record, _sha256(fault.record.value)
    row = {
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
    return (record.topic, record.partition, record.offset, fault.reason, sha256), row


def _sha256(value: bytes | None) -> str | None:
    return None if value is None else hashlib.sha256(value).hexdigest()


def _schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([(name, arrow.arrow_type(_TABLE.column(name).type)) for name in names])
