"""Rows of the stored form to Arrow and back."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa

from lakehouse import platform_tables
from lakehouse.transforms.history.fold import Incoming, fold_all
from lakehouse.transforms.history.form import Form
from lakehouse.transforms.records import arrow
from lakehouse.transforms.records.envelope import Decoder
from lakehouse.transforms.records.values import NAN
from tests.unit import wire
from tests.unit.wire import THINGS, row

_FULL: dict[str, Any] = {
    "note": "é😀",
    "price": "99999999.99",
    "rate": "1234567890123456789012345678.0123456789",
    "small": -32768,
    "units": 5,
    "weight": "NaN",
    "ratio": 0.1,
    "is_on": False,
    "day": "0001-01-01Z",
    "at": "9999-12-31T23:59:59.999999Z",
    "raw": "AAE=",
    "tags": ["a", None, ""],
}
_STORED = platform_tables.stored(THINGS)


def _rows() -> list[tuple[object, ...]]:
    decoded = Decoder(THINGS, []).decode(wire.records([row(**_FULL), row(id=2), row(id=3, price="1.230", at="0001-01-01T00:00:00Z")]))
    return [made.row for made in fold_all(Form(THINGS), Incoming(changes=decoded.changes, run=7)).rows]


def test_every_type_comes_back_exactly() -> None:
    made = arrow.arrow(_rows(), _STORED)
    assert made.schema == arrow.schema(_STORED)
    assert arrow.rows(made, _STORED) == _rows()
    weight = _STORED.column_names.index("weight")
    assert arrow.rows(made, _STORED)[0][weight] is NAN and math.isnan(NAN)


def test_no_rows_make_an_empty_table() -> None:
    assert arrow.arrow([], _STORED).num_rows == 0
    assert arrow.rows(arrow.arrow([], _STORED), _STORED) == []


def test_arrow_s_large_and_view_types_are_read_too() -> None:
    made = arrow.arrow(_rows(), _STORED)
    others = {pa.string(): pa.string_view(), pa.binary(): pa.large_binary(), pa.list_(pa.string()): pa.large_list(pa.large_string())}
    cast = pa.table({field.name: made.column(field.name).cast(others.get(field.type, field.type)) for field in made.schema})
    assert cast.schema != made.schema
    assert arrow.rows(cast, _STORED) == _rows()


def test_columns_are_found_by_name_and_a_missing_one_is_none() -> None:
    made = arrow.arrow(_rows(), _STORED)
    turned = made.select([*reversed(made.schema.names)]).drop_columns(["note"]).append_column("file", pa.array(["f"] * made.num_rows))
    rows = arrow.rows(turned, _STORED, extra=["file"])
    assert [r[-1] for r in rows] == ["f"] * 3
    assert [r[:-1] for r in rows] == [(r[0], None, *r[2:]) for r in _rows()]


def test_a_fold_finds_nothing_to_write_in_rows_that_came_back() -> None:
    decoded = Decoder(THINGS, []).decode(wire.records([row(**_FULL)]))
    form = Form(THINGS)
    stored = arrow.rows(arrow.arrow([w.row for w in fold_all(form, Incoming(changes=decoded.changes, run=7)).rows], _STORED), _STORED)
    again = fold_all(form, Incoming(changes=decoded.changes, run=8), kept=stored)
    assert [written.row for written in again.rows] == stored
    assert stored[0][form.place["price"]] == Decimal("99999999.99")
