"""What a record tells of persons is found in its text, whether or not the record can be read, and nothing else of it changes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse import tables
from lakehouse.transforms.records import erasing, keys
from tests.unit import wire

_ORDERS, _USERS = tables.source("orders"), tables.source("users")
_ITEMS = tables.source("order_items")
_MOMENTS = replace(wire.THINGS, key=("at",))


def _text(at_us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (b'{"user_id":5}', None, '{"user_id":5}'),
        (b'{"user_id":"5"}', None, '{"user_id":5}'),
        (b'{"user_id":5} x', None, '{"user_id":5}'),
        (None, b'{"op":"c","after":{"user_id": 7, "x', '{"user_id":7}'),  # torn
        (b"junk", b'\xff{"user_id":"8"}', '{"user_id":8}'),
        (b'{"user_id":null}', b'{"user_id":9,"user_id":10}', '{"user_id":9}'),
        (b'{"user_id":"x"}', b'{"user_id":9}', "{}"),  # the key names one that is none
        (None, None, "{}"),
    ],
)
def test_a_record_s_key_is_read_from_its_key_or_from_where_its_value_names_it_first(
    key: bytes | None, value: bytes | None, expected: str
) -> None:
    assert erasing.key_of_record(_USERS, key, value) == expected


def test_whoever_is_forgotten_by_a_moment_is_nobody_else_of_the_same_millisecond() -> None:
    at = wire.COMMITTED_US
    listed, other = (keys.as_json(_MOMENTS)((moment,)) for moment in (at, at + 1))
    found = [erasing.key_of_record(_MOMENTS, f'{{"at":"{text}"}}'.encode(), None) for text in (_text(at), _text(at + 1))]
    assert found == [listed, other]
    assert listed != other


def test_a_composite_key_is_read_part_by_part() -> None:
    assert erasing.key_of_record(_ITEMS, b'{"order_id":3}', b'{"after":{"line_no":2}}') == '{"order_id":3,"line_no":2}'


def test_every_person_that_a_value_names_is_found() -> None:
    value = b'{"before":{"user_id":1},"after":{"user_id": "2"},"x":{"user_id":"no number"}}'
    column = _ORDERS.column("user_id")
    assert erasing.persons_of_record(column, _USERS, value) == ['{"user_id":1}', '{"user_id":2}', "{}"]
    assert erasing.persons_of_record(column, _USERS, None) == []


def test_erased_columns_become_null_and_every_other_byte_stays() -> None:
    erased = _ORDERS.erased
    assert "user_id" in erased
    row = {"order_id": 1, "user_id": 5, "status": 'he said "user_id": 5', "total_usd": "1.00"}
    value = json.dumps({"op": "u", "before": {**row, "user_id": 'a\\"b'}, "after": row}).encode()
    expected = value.replace(b'"user_id": 5,', b'"user_id": null,').replace(rb'"user_id": "a\\\"b"', b'"user_id": null')
    assert erasing.blanked_value(_ORDERS, value) == expected
    assert json.loads(expected)["after"] == {**row, "user_id": None}


def test_a_torn_text_and_bytes_that_are_no_utf_8_are_blanked_too() -> None:
    assert erasing.blanked_value(_ORDERS, b'\xff{"user_id": "torn and \xfe') == b'\xff{"user_id": null'


def test_a_table_that_erases_nothing_keeps_its_values() -> None:
    assert erasing.blanked_value(wire.THINGS, b'{"id":1}') == b'{"id":1}'
