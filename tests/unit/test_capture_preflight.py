"""Each refusal of the preflight, from a source that is right in everything but one thing."""

import re
from dataclasses import replace

import pytest

from lakehouse.contract import Column, History, Table
from lakehouse.errors import EbapError
from lakehouse.source import preflight
from lakehouse.source.catalog import Catalog, ColumnType, SourceTable
from lakehouse.source.compatibility import is_compatible

ORDERS = Table(
    name="orders",
    doc="Orders.",
    grain="one row per order",
    key=("order_id",),
    history=History.FULL,
    owner="desk",
    max_age_s=60,
    columns=(Column(name="order_id", type="BIGINT", doc="Key."), Column(name="total_usd", type="DECIMAL(12,2)", doc="Sum.")),
)
RIGHT_TABLE = SourceTable(
    key=("order_id",), columns={"order_id": ColumnType(name="int8"), "total_usd": ColumnType(name="numeric", precision=12, scale=2)}
)
RIGHT = Catalog(
    wal_level="logical",
    tables={"orders": RIGHT_TABLE},
    published=frozenset({("shop", "orders"), ("ebap", "heartbeat"), ("ebap", "signal")}),
    slot_status="reserved",
)
CAPTURING = preflight.Situation(identity="77/1", login_fault=None, known_identity="77/1", has_offset=True)
NEW_LAKE = preflight.Situation(identity="77/1", login_fault=None, known_identity=None, has_offset=False)


def refusal(catalog=RIGHT, situation=CAPTURING, sources=(ORDERS,)):
    with pytest.raises(EbapError) as caught:
        preflight.check(sources, "shop", catalog, situation)
    return str(caught.value)


def with_table(**changes):
    return replace(RIGHT, tables={"orders": replace(RIGHT_TABLE, **changes)})


def test_a_source_that_is_right_passes_on_a_new_lake_and_on_one_it_filled():
    preflight.check((ORDERS,), "shop", replace(RIGHT, slot_status=None), NEW_LAKE)
    preflight.check((ORDERS,), "shop", RIGHT, CAPTURING)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ()}, "shop.orders has no primary key.*add PRIMARY KEY \\(order_id\\)"),
        ({"key": ("id",)}, "primary key \\(id\\), its declaration says \\(order_id\\)"),
        ({"kind": "v"}, "is a view or a foreign table"),
        ({"identity": "n"}, "REPLICA IDENTITY NOTHING"),
        ({"has_row_security": True}, "row-level security"),
        ({"is_readable": False}, "cannot read shop.orders: GRANT SELECT ON shop.orders TO ebap_capture"),
        ({"columns": {"order_id": ColumnType(name="int8")}}, "has no column total_usd"),
        (
            {"columns": {**RIGHT_TABLE.columns, "total_usd": ColumnType(name="numeric", precision=14, scale=2)}},
            "total_usd as numeric\\(14,2\\), which DECIMAL\\(12,2\\) cannot hold",
        ),
        ({"columns": {**RIGHT_TABLE.columns, "total_usd": ColumnType(name="numeric", is_generated=True)}}, "GENERATED"),
        ({"columns": {**RIGHT_TABLE.columns, "total_usd": ColumnType(name="int8")}}, "cannot hold: declare it as BIGINT or DECIMAL"),
        ({"columns": {**RIGHT_TABLE.columns, "total_usd": ColumnType(name="_float4")}}, "cannot hold: nothing can .*declare that one"),
        ({"columns": {**RIGHT_TABLE.columns, "Order_id": ColumnType(name="int8")}}, "differ only by case \\(Order_id, order_id\\)"),
    ],
)
def test_a_table_that_cannot_be_captured_whole_is_refused(changes, message):
    assert re.search(message, refusal(with_table(**changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wal_level": "replica"}, "wal_level=replica: set wal_level=logical"),
        ({"tables": {}}, "table shop.orders does not exist"),
        ({"published": None}, "publication ebap does not exist"),
        ({"published": frozenset({("shop", "orders")})}, "table ebap.heartbeat is not published"),
        ({"is_for_all_tables": True}, "FOR ALL TABLES, which breaks UPDATE.*DROP PUBLICATION ebap"),
        ({"slot_status": "lost"}, "slot ebap is lost.*make wipe"),
        ({"slot_status": None}, "has offsets but replication slot ebap is gone.*make wipe"),
    ],
)
def test_a_source_that_would_lose_changes_is_refused(changes, message):
    assert re.search(message, refusal(replace(RIGHT, **changes)))


@pytest.mark.parametrize(
    ("changes", "altered"),
    [
        ({"key": ("id",)}, None),
        ({"columns": {"order_id": ColumnType(name="int8")}}, "total_usd"),
        ({"columns": {**RIGHT_TABLE.columns, "total_usd": ColumnType(name="text")}}, "total_usd"),
    ],
)
def test_what_the_lake_saw_change_is_for_the_gate_and_keeps_nobody_from_starting(changes, altered):
    seen = replace(CAPTURING, altered=frozenset({("orders", altered)}))
    preflight.check((ORDERS,), "shop", with_table(**changes), seen)
    assert refusal(with_table(**changes), replace(CAPTURING, altered=frozenset({("users", altered)})))


def test_a_slot_without_offsets_is_refused():
    assert "slot ebap exists but Connect's offsets are gone" in refusal(situation=replace(CAPTURING, has_offset=False))


def test_another_postgres_is_refused_with_both_identities():
    assert "another Postgres (88/1) than the lake was filled from (77/1)" in refusal(situation=replace(CAPTURING, identity="88/1"))


def test_a_timeline_that_changed_is_another_postgres():
    assert "(77/2)" in refusal(situation=replace(CAPTURING, identity="77/2"))


def test_dates_that_the_first_snapshot_would_misread_are_refused():
    early = frozenset({("orders", "ordered_on")})
    assert "shop.orders has dates before the year 1 in column ordered_on" in refusal(situation=replace(CAPTURING, early_dates=early))


def test_every_fault_is_named_at_once():
    situation = preflight.Situation(identity=None, login_fault="no", known_identity="1/1", has_offset=True, topic_faults=("topic x",))
    text = refusal(replace(with_table(key=()), wal_level="minimal", slot_status="lost"), situation)
    assert len(text.splitlines()) == 1 + 5, text


@pytest.mark.parametrize(
    ("declared", "found", "fits"),
    [
        ("BIGINT", ColumnType(name="int4"), True),
        ("INT", ColumnType(name="int8"), False),
        ("STRING", ColumnType(name="order_status", is_enum=True), True),
        ("STRING", ColumnType(name="jsonb"), True),
        ("STRING", ColumnType(name="int4"), False),
        ("DECIMAL(10,2)", ColumnType(name="numeric", precision=8, scale=2), True),
        ("DECIMAL(10,2)", ColumnType(name="numeric", precision=8, scale=4), False),
        ("DECIMAL(10,2)", ColumnType(name="numeric"), True),
        ("DECIMAL(10,0)", ColumnType(name="int4"), True),
        ("DECIMAL(10,2)", ColumnType(name="float8"), False),
        ("ARRAY<STRING>", ColumnType(name="_text"), True),
        ("ARRAY<STRING>", ColumnType(name="_int4"), False),
        ("TIMESTAMP", ColumnType(name="date"), False),
        ("BINARY", ColumnType(name="bytea"), True),
        ("ARRAY<STRING>", ColumnType(name="_text", is_domain=True), False),
        ("STRING", ColumnType(name="text", is_domain=True), True),
        ("STRING", ColumnType(name="char"), True),
        ("STRING", ColumnType(name="interval"), False),
        ("STRING", ColumnType(name="tstzrange"), True),
        ("BIGINT", ColumnType(name="oid"), True),
        ("STRING", ColumnType(name="pair"), False),
    ],
)
def test_a_type_fits_only_where_no_value_can_be_lost(declared, found, fits):
    assert is_compatible(declared, found) is fits
