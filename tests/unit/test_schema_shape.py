"""What each change of a source table is called, and whether its table goes on: no server, no session."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lakehouse.contract import Column, History, Table
from lakehouse.source import schema_diff
from lakehouse.source.catalog import ColumnType, SourceTable
from lakehouse.source.schema_diff import GONE, SeenColumn, Shape
from lakehouse.source.standing import Standing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = Table(
    name="orders",
    doc="Orders.",
    grain="one row per order",
    key=("order_id",),
    history=History.FULL,
    owner="desk",
    max_age_s=60,
    columns=(
        Column(name="order_id", type="BIGINT", doc="Key."),
        Column(name="total_usd", type="DECIMAL(12,2)", doc="Sum."),
        Column(name="units", type="INT", doc="Pieces."),
        Column(name="status", type="STRING", doc="How far."),
    ),
)
COLUMNS = {
    "order_id": SeenColumn(type="int8", position=1, is_nullable=False),
    "total_usd": SeenColumn(type="numeric(12,2)", position=2),
    "units": SeenColumn(type="int4", position=3),
    "status": SeenColumn(type="order_status", position=4, labels=("placed", "paid")),
}
SEEN = Shape(oid=7, key=("order_id",), columns=COLUMNS)


def judged(after: Shape, before: Shape | None = SEEN) -> list[tuple[str | None, str, str]]:
    return [(change.column, change.what, change.state) for change in schema_diff.changes(ORDERS, before, after, NOW)]


def with_column(name: str, **values: object) -> Shape:
    return replace(SEEN, columns={**COLUMNS, name: replace(COLUMNS[name], **values)})  # type: ignore[arg-type]


def without(name: str) -> dict[str, SeenColumn]:
    return {other: column for other, column in COLUMNS.items() if other != name}


def test_a_first_look_is_remembered_and_a_second_sees_nothing() -> None:
    (first,) = schema_diff.changes(ORDERS, None, SEEN, NOW)
    assert (first.what, first.state) == ("first seen", "applied")
    assert schema_diff.from_json(first.shape) == SEEN
    assert judged(SEEN) == []


def test_the_catalog_is_remembered_as_it_is() -> None:
    status = ColumnType(name="order_status", is_enum=True, labels=("placed", "paid"), position=4)
    found = SourceTable(oid=7, key=("order_id",), columns={"status": status})
    assert schema_diff.of("orders", found, "77/1") == Shape(
        oid=7, key=("order_id",), columns={"status": COLUMNS["status"]}, standing=Standing(server="77/1")
    )
    assert schema_diff.of("orders", None) == GONE


def test_an_undeclared_column_is_drift_and_a_dropped_one_stays() -> None:
    note = SeenColumn(type="text", position=5)
    assert judged(replace(SEEN, columns={**COLUMNS, "note": note})) == [("note", "added", "drift")]
    assert judged(replace(SEEN, columns=without("units"))) == [("units", "dropped", "applied")]


def test_a_rename_is_a_drop_and_an_add_and_not_two_strangers() -> None:
    renamed = {**without("units"), "pieces": COLUMNS["units"]}
    assert judged(replace(SEEN, columns=renamed)) == [("units", "renamed", "applied"), ("pieces", "renamed", "drift")]


def test_a_column_dropped_and_added_again_under_its_name_is_told() -> None:
    again = {**COLUMNS, "units": SeenColumn(type="int4", position=9)}
    assert judged(replace(SEEN, columns=again)) == [("units", "dropped", "applied"), ("units", "added", "applied")]


@pytest.mark.parametrize(
    ("column", "after", "what", "state"),
    [
        ("units", "int8", "widened", "applied"),
        ("total_usd", "numeric(14,2)", "widened", "applied"),
        ("units", "int2", "narrowed", "waiting"),
        ("total_usd", "numeric(10,2)", "narrowed", "waiting"),
        ("total_usd", "numeric(12,4)", "retyped", "waiting"),
        ("total_usd", "numeric(14,4)", "retyped", "waiting"),
        ("total_usd", "numeric", "retyped", "waiting"),
        ("units", "text", "retyped", "waiting"),
        ("units", "numeric(20,0)", "retyped", "waiting"),
    ],
)
def test_only_a_widening_of_a_type_applies_itself(column: str, after: str, what: str, state: str) -> None:
    assert judged(with_column(column, type=after)) == [(column, what, state)]


def test_a_widening_that_the_declaration_cannot_follow_waits() -> None:
    digits = replace(ORDERS, columns=tuple(replace(c, type="DECIMAL(10,0)") if c.name == "units" else c for c in ORDERS.columns))
    (change,) = schema_diff.changes(digits, SEEN, with_column("units", type="int8"), NOW)
    assert (change.what, change.state) == ("widened", "waiting")


def test_a_new_enum_value_is_taken_and_a_renamed_one_waits() -> None:
    assert judged(with_column("status", labels=("placed", "paid", "lost"))) == [("status", "enum value added", "applied")]
    assert judged(with_column("status", labels=("placed", "settled"))) == [("status", "retyped", "waiting")]


def test_a_column_nobody_declared_stops_nothing() -> None:
    before, after = (replace(SEEN, columns={**COLUMNS, "note": SeenColumn(type=type_, position=5)}) for type_ in ("text", "int4"))
    assert judged(after, before) == [("note", "retyped", "drift")]


def test_nullability_is_told_and_stops_nothing() -> None:
    assert judged(with_column("units", is_nullable=False)) == [("units", "nullability changed", "applied")]


def test_another_key_and_a_table_that_is_gone_wait() -> None:
    assert judged(replace(SEEN, key=("order_id", "units"))) == [(None, "key changed", "waiting")]
    assert judged(GONE) == [(None, "dropped", "waiting")]
    assert judged(SEEN, GONE) == [(None, "added", "waiting")]


def test_another_server_with_the_same_columns_at_other_places_changed_nothing() -> None:
    moved = {name: replace(column, position=column.position + 3) for name, column in COLUMNS.items()}
    assert judged(Shape(oid=8, key=SEEN.key, columns=moved)) == []
    assert judged(Shape(oid=8, key=SEEN.key, columns={n: c for n, c in moved.items() if n != "units"})) == [("units", "dropped", "applied")]


def test_every_change_says_its_column_and_both_types() -> None:
    (change,) = schema_diff.changes(ORDERS, SEEN, with_column("units", type="text"), NOW)
    assert str(change) == "orders: column units retyped, int4 before, text now"
