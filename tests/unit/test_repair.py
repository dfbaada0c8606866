"""What a repair sends: deletes that stand right behind the change they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from lakehouse import tables
from lakehouse.contract import Column, History, Table
from lakehouse.reconcile import repair
from lakehouse.reconcile.checksum_diff import Differences, Row
from lakehouse.reconcile.compare import Outcome
from tests.refusals import refused

ITEMS = tables.source("order_items")
NAMES = Table(
    name="names",
    doc="Keyed by a text and a day.",
    grain="one row per name and day",
    key=("name", "day"),
    history=History.LATEST,
    owner="tests",
    max_age_s=1,
    columns=(Column(name="name", type="STRING", doc="A name."), Column(name="day", type="DATE", doc="A day.")),
)


def outcome(table: Table, key_order: tuple[str, ...]) -> Outcome:
    at = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    return Outcome(table=table, taken_at=at, found=Differences(), blocked=(), took_s=1.0, key_order=key_order)


def test_a_ghosts_delete_stands_right_behind_the_change_that_made_it() -> None:
    key, value, headers = repair.delete_record(outcome(ITEMS, ("line_no", "order_id")), ("7", "2"), Row(7, 0, epoch=3, lsn=500), "shop")
    assert key == b'{"line_no":2,"order_id":7}'
    record = json.loads(value)
    assert (record["op"], record["before"], record["after"]) == ("d", {"line_no": 2, "order_id": 7}, None)
    source = record["source"]
    assert (source["schema"], source["table"], source["lsn"], source["txId"]) == ("shop", "order_items", 501, None)
    assert json.loads(source["sequence"]) == ["500", "501"]
    assert source["ts_us"] == 1_772_366_400_123_456
    assert dict(headers) == {"ebap.epoch": b"3", "ebap.repair": b"reconcile"}


def test_a_key_that_is_a_text_or_a_day_is_written_as_capture_writes_it() -> None:
    key, _, _ = repair.delete_record(outcome(NAMES, ("name", "day")), ("Zoë", "2026-01-01"), Row(0, 0, epoch=1, lsn=5), "shop")
    assert key == '{"name":"Zoë","day":"2026-01-01Z"}'.encode()


def test_a_key_of_another_type_is_refused_by_name() -> None:
    column = Column(name="at", type="TIMESTAMP", doc="A moment.")
    table = Table(name="t", doc="d", grain="g", key=("at",), history=History.LATEST, owner="o", max_age_s=1, columns=(column,))
    with refused("column at", "TIMESTAMP"):
        repair.delete_record(outcome(table, ("at",)), ("1",), Row(1, 0, epoch=1, lsn=5), "shop")
