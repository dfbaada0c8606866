"""Statistics of files and what is left unread by them: no row may be lost, whatever its values."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.delta import statistics
from lakehouse.delta.actions import File
from lakehouse.delta.pruning import Between, Pruner, partition_value, plain
from lakehouse.delta.schema import Field

_TYPES = {"i": "long", "s": "string", "d": "decimal(38,10)", "day": "date", "at": "timestamp", "f": "double", "b": "binary"}
FIELDS = {name: Field(name=name, json_type=kind, is_nullable=True, metadata={}) for name, kind in _TYPES.items()}
_MICRO = timedelta(microseconds=1)
_AT = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def _file(name: str, *values: Any) -> File:
    rows = pa.table({name: pa.array(values, FIELDS[name].arrow_type)})
    stats = statistics.of(rows, [FIELDS[name]], has_vectors=True)
    return File(path="p", raw="p", partition={}, size=1, modified_ms=0, is_data_change=True, stats=stats, vector=None)


def _is_read(file: File, **where: Any) -> bool:
    return Pruner(FIELDS, (), where).may_match(file)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("i", -(2**63), 2**63 - 1),
        ("s", "", "z" * 40),
        ("s", "é" * 40, "é" * 40 + "ü"),
        ("s", "a", "\U0010ffff" * 40),  # nothing shorter is greater
        ("s", "a", "x" * 31 + "\U0010ffff" * 3 + "y"),
        ("s", "a\x00b", "b" * 32 + "\x7f"),
        ("d", Decimal("-9999999999999999999999999999.9999999999"), Decimal("9999999999999999999999999999.9999999999")),
        ("day", date(1, 1, 1), date(9999, 12, 31)),
        ("at", datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("at", _AT, _AT + 3 * _MICRO),
        ("f", float("-inf"), float("nan")),
    ],
)
def test_a_file_is_read_for_its_least_and_greatest_value(name: str, low: Any, high: Any) -> None:
    file = _file(name, low, high, None)
    json.loads(file.stats or "")
    for value in (low, high):
        assert _is_read(file, **{name: [value]})
        assert _is_read(file, **{name: Between(low=value)})
        assert _is_read(file, **{name: Between(high=value)})


@pytest.mark.parametrize(
    ("name", "low", "high", "below", "above"),
    [
        ("i", 5, 9, 4, 10),
        ("s", "b", "d", "a", "e"),
        ("d", Decimal("1.5"), Decimal("2.5"), Decimal("1.4"), Decimal("2.6")),
        ("day", date(2026, 1, 2), date(2026, 1, 4), date(2026, 1, 1), date(2026, 1, 5)),
        ("at", _AT, _AT, _AT - timedelta(milliseconds=1), _AT + timedelta(milliseconds=3)),
    ],
)
def test_a_file_is_left_unread_for_what_lies_outside(name: str, low: Any, high: Any, below: Any, above: Any) -> None:
    file = _file(name, low, high)
    for value in (below, above):
        assert not _is_read(file, **{name: [value]})
        assert not _is_read(file, **{name: [plain(value)]})
    assert not _is_read(file, **{name: [below, above]})
    assert not _is_read(file, **{name: Between(low=above)})
    assert _is_read(file, **{name: [below, above, None]}), "NULLs are not in the bounds"
    assert not _is_read(file, **{name: []})


def test_a_timestamp_is_rounded_outwards() -> None:
    bounds = json.loads(_file("at", _AT).stats or "")
    assert bounds["minValues"] == {"at": "2026-01-01T12:00:00.123Z"}
    assert bounds["maxValues"] == {"at": "2026-01-01T12:00:00.124Z"}


def test_sparks_timestamps_are_cut_and_still_found() -> None:
    stats = json.dumps({"minValues": {"at": "2026-01-01T12:00:00.123Z"}, "maxValues": {"at": "2026-01-01T12:00:00.123Z"}})
    file = File(path="p", raw="p", partition={}, size=1, modified_ms=0, is_data_change=True, stats=stats, vector=None)
    assert _is_read(file, at=[_AT])
    assert not _is_read(file, at=[_AT + timedelta(milliseconds=1)])


def test_decimals_keep_all_their_digits() -> None:
    value = Decimal("1234567890123456789012345678.0000000001")
    assert '"maxValues":{"d":1234567890123456789012345678.0000000001}' in (_file("d", value).stats or "")


def test_nulls_are_counted_and_have_no_bounds() -> None:
    made = json.loads(_file("i", None, None).stats or "")
    assert made == {"numRecords": 2, "minValues": {}, "maxValues": {}, "nullCount": {"i": 2}, "tightBounds": True}
    assert json.loads(_file("b", b"x").stats or "")["minValues"] == {}


def test_only_the_listed_columns_have_statistics() -> None:
    names = lambda **properties: [field.name for field in statistics.columns(FIELDS, ("day",), properties)]  # noqa: E731
    assert names() == ["i", "s", "d", "at", "f", "b"]
    assert names(**{"delta.dataSkippingNumIndexedCols": "2"}) == ["i", "s"]
    assert names(**{"delta.dataSkippingStatsColumns": "at,`i`"}) == ["i", "at"]
    assert names(**{"delta.dataSkippingStatsColumns": ""}) == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("i", "-5", -5),
        ("s", "a b", "a b"),
        ("s", "", None),
        ("s", None, None),
        ("day", "1970-01-02", 1),
        ("at", "1970-01-01 00:00:00.5", 500_000),
        ("at", "1970-01-01T00:00:00.000001Z", 1),
        ("d", "1.50", Decimal("1.5")),
    ],
)
def test_partition_values_are_those_of_rows(name: str, text: str | None, value: Any) -> None:
    assert partition_value(FIELDS[name], text) == value
