"""JSON texts as Jackson writes them: a lake keeps hashes of them."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contract import Column, History, Table
from lakehouse.transforms.records import json_text, keys
from lakehouse.transforms.records.values import reader

# A number on the wire, and what Java's Double.toString makes of it.
FLOATS = {
    "1.0": "1.0",
    "1.50": "1.5",
    "-0.0": "-0.0",
    "0e5": "0.0",
    "1e5": "100000.0",
    "1E+7": "1.0E7",
    "9999999.5": "9999999.5",
    "12345678.0": "1.2345678E7",
    "0.001": "0.001",
    "1e-3": "0.001",
    "0.0001": "1.0E-4",
    "4.9e-324": "4.9E-324",
    "5e-324": "4.9E-324",
    "0.30000000000000004": "0.30000000000000004",
    "9007199254740993.0": "9.007199254740992E15",
    "1.7976931348623157e308": "1.7976931348623157E308",
    "9.999999999999999E22": "9.999999999999999E22",  # as Java 17 writes it, though 1.0E23 names the same number
    "1e400": '"Infinity"',
    "-1e400": '"-Infinity"',
}


@pytest.mark.parametrize(("text", "expected"), FLOATS.items())
def test_a_float_is_written_as_java_writes_it(text: str, expected: str) -> None:
    assert json_text.text_of(json_text.read(text)) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_s_text_names_the_same_float_and_stays_as_it_is(number: float) -> None:
    text = json_text.java_float(repr(number))
    assert struct.pack("<d", float(text)) == struct.pack("<d", number)
    assert json_text.java_float(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "-0": "0",
        "123456789012345678901234567890": "123456789012345678901234567890",
        '[ 1 , "x\\ty" , null, true ]': '[1,"x\\ty",null,true]',
        '{"a": 1, "a": {"b": [1.50, "\\u0001\\u001f\\u00e9\\/\\u007f"]}}': '{"a":1,"a":{"b":[1.5,"\\u0001\\u001Fé/\x7f"]}}',
        '["\\ud83d\\ude00", "😀", "\\ud800"]': '["\\uD83D\\uDE00","\\uD83D\\uDE00","?"]',
        '[["\\ud800"]]': '[["\\uD800"]]',
        '"a\\ud800b"': "a?b",
        '["\\\\u001f"]': '["\\\\u001f"]',
        "{}": "{}",
    }.items(),
)
def test_a_value_is_written_as_jackson_writes_it(text: str, expected: str) -> None:
    # Read as a member, so that its own members are nested.
    assert json_text.text_of(json_text.first(text)) == expected


@pytest.mark.parametrize("text", ["", " ", "{", "{'a':1}", "01", "NaN", "[1,]", '"\x01"', "1 2", '{"a":1}x', '"\\x"', "-", "+1", "1."])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        json_text.read(text)


def test_nesting_ends_where_jackson_s_ends() -> None:
    deep = "[" * json_text.MAX_DEPTH + "]" * json_text.MAX_DEPTH
    assert json_text.text_of(json_text.read(deep)) == deep
    with pytest.raises(ValueError, match="deep"):
        json_text.read(f"[{deep}]")
    # Brackets within a text nest nothing.
    assert json_text.read('["' + "[" * 5000 + '\\"["]') == ["[" * 5000 + '"[']


_KEY = {
    "n": ("BIGINT", 5, "5"),
    "t": ("STRING", 'q"é😀\x1f', '"q\\"é😀\\u001F"'),
    "d": ("DATE", 20454, '"2026-01-01"'),
    "at": ("TIMESTAMP", 1_795_317_612_712_784, '"2026-11-22T03:20:12.712784Z"'),
    "p": ("DECIMAL(10,2)", Decimal("5"), "5.00"),
    "r": ("DECIMAL(38,10)", Decimal("0.0000000001"), "1E-10"),
    "on": ("BOOLEAN", True, "true"),
    "w": ("DOUBLE", 1e-5, "1.0E-5"),
    "f": ("FLOAT", 0.10000000149011612, "0.1"),
    "raw": ("BINARY", b"\x00\x01", '"AAE="'),
}


def _table() -> Table:
    columns = tuple(Column(name=name, type=type_, doc="A part.") for name, (type_, _, _) in _KEY.items())
    more = {"doc": "Keys.", "grain": "a row", "owner": "tests", "max_age_s": 1, "history": History.FULL}
    return Table(name="keyed", key=tuple(_KEY), columns=columns, **more)  # type: ignore[arg-type]


def test_a_key_is_written_and_read_again_in_every_type() -> None:
    key = tuple(value for _, value, _ in _KEY.values())
    text = keys.as_json(_table())(key)
    assert text == "{" + ",".join(f'"{name}":{written}' for name, (_, _, written) in _KEY.items()) + "}"
    assert keys.from_json(_table())(text) == key


def test_a_part_of_a_key_that_is_not_there_is_left_out() -> None:
    values: dict[str, Any] = {"n": 5, "at": 1_795_317_612_712_784}
    listed = keys.as_json(_table())(tuple(values.get(name) for name in _KEY))
    assert listed == '{"n":5,"at":"2026-11-22T03:20:12.712784Z"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "16777217": 16777216.0,
        "16777217.000000001": 16777218.0,
        "-16777217.000000001": -16777218.0,
        "7e-46": 0.0,
        "7.1e-46": 2.0**-149,
    }.items(),
)
def test_a_float_of_32_bits_is_rounded_once(text: str, expected: float) -> None:
    assert reader("FLOAT")(text) == expected
