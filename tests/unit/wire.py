"""Records as capture writes them and land keeps them, for tests: rows of `bronze.changes` built from Python values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.contract import KAFKA_HEADERS, Column, Expect, History, Severity, Table
from lakehouse.transforms.records.arrow import arrow_type
from lakehouse.transforms.records.received import Record
from lakehouse.transforms.records.received import records as received_records

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACEHOLDER = "__ebap_unchanged_0123456789abcdef0123456789abcdef"
COMMITTED_US = 1_795_317_612_712_784

_TYPES = {
    "id": "BIGINT",
    "note": "STRING",
    "price": "DECIMAL(10,2)",
    "rate": "DECIMAL(38,10)",
    "small": "SMALLINT",
    "units": "INT",
    "weight": "DOUBLE",
    "ratio": "FLOAT",
    "is_on": "BOOLEAN",
    "day": "DATE",
    "at": "TIMESTAMP",
    "raw": "BINARY",
    "tags": "ARRAY<STRING>",
}

THINGS = Table(
    name="things",
    doc="A column of every type.",
    grain="one row per thing",
    key=("id",),
    history=History.FULL,
    owner="tests",
    max_age_s=1,
    columns=tuple(Column(name=name, type=type_, doc="A value.") for name, type_ in _TYPES.items()),
    expects=(
        Expect(name="price_is_positive", condition="price > 0", doc="Flagged."),
        Expect(name="note_is_there", condition="note IS NOT NULL", doc="Flagged, but not while the note is unchanged."),
        Expect(name="units_is_lucky", condition="units <> 13", doc="Refused.", severity=Severity.REFUSE),
    ),
)


@dataclass(frozen=True)
class Received:
    """One Kafka record; `epoch` is what land read from its header."""

    value: bytes | None
    key: bytes | None = b'{"id":1}'
    epoch: int | None = 1
    headers: tuple[tuple[str, str], ...] = (("ebap.epoch", "1"),)
    table: str = "things"


def envelope(op: str | None = "c", after: Any = None, source: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Debezium's envelope without schemas; `source` changes single fields of the source block, None takes one away."""
    place = {"version": "3.7.0.Final", "snapshot": "false", "sequence": '["40","50"]', "ts_us": COMMITTED_US}
    block = {**place, "schema": "shop", "table": "things", "txId": 7, "lsn": 50, **(source or {})}
    whole = {"before": None, "after": after, "source": {k: v for k, v in block.items() if v is not None}, "op": op, **more}
    return {name: part for name, part in whole.items() if name != "op" or op is not None}


def row(op: str = "c", **values: Any) -> Received:
    """A record whose row has these values, as Debezium writes them, and id 1 where no other is given."""
    return received(envelope(op, {"id": 1, **values}))


def received(value: Any, **rest: Any) -> Received:
    """A record of that JSON value."""
    return Received(json.dumps(value).encode(), **rest)


def records(given: Iterable[Received]) -> list[Record]:
    """The records as decoding takes them; each one's place in the list is its offset."""
    return list(received_records(arrow(given)))


def arrow(given: Iterable[Received]) -> pa.Table:
    """The records as an Arrow table with bronze's columns."""
    taken = list(given)
    headers = [[{"key": name, "value": text.encode()} for name, text in r.headers] for r in taken]
    columns = {
        "topic": [f"ebap.cdc.{r.table}" for r in taken],
        "partition": pa.array([0] * len(taken), pa.int32()),
        "offset": list(range(len(taken))),
        "epoch": pa.array([r.epoch for r in taken], pa.int32()),
        "key": pa.array([r.key for r in taken], pa.binary()),
        "value": pa.array([r.value for r in taken], pa.binary()),
        "headers": pa.array(headers, arrow_type(KAFKA_HEADERS)),
    }
    return pa.table(columns)
