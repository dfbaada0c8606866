"""Records as capture writes them and land keeps them, for tests: rows of `bronze.changes` built from Python values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.contract import Column, Expect, History, Severity, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import DataFrame, SparkSession

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
    allowed_age_s=1,
    columns=tuple(Column(name=name, type=type_, doc="A value.") for name, type_ in _TYPES.items()),
    expects=(
        Expect(name="price_is_positive", condition="price > 0", doc="Flagged."),
        Expect(name="note_is_there", condition="note IS NOT NULL", doc="Flagged, but not while the note is unchanged."),
        Expect(name="units_is_lucky", condition="units <> 13", doc="Refused.", severity=Severity.REFUSE),
    ),
)

_BRONZE = (
    "source_table STRING, topic STRING, partition INT, offset BIGINT, key BINARY, value BINARY, "
    "headers ARRAY<STRUCT<key: STRING, value: BINARY>>, epoch INT"
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


def bronze(spark: SparkSession, records: Iterable[Received]) -> DataFrame:
    """The records as land keeps them; each one's place in the list is its offset."""
    rows = [
        (
            r.table,
            f"ebap.cdc.{r.table}",
            0,
            offset,
            _bytes(r.key),
            _bytes(r.value),
            [(k, bytearray(v.encode())) for k, v in r.headers],
            r.epoch,
        )
        for offset, r in enumerate(records)
    ]
    return spark.createDataFrame(rows, _BRONZE)


def _bytes(value: bytes | None) -> bytearray | None:
    return None if value is None else bytearray(value)
