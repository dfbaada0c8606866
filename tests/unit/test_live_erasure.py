"""Forgotten people in dead letters and files: found in any text that a record may be, and nobody else with them."""

from __future__ import annotations

import io
import re
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lakehouse.contract import Table
from lakehouse.forget import iceberg_files
from lakehouse.live import erasure

_SAID = re.compile(erasure.pattern(erasure.USER, (42, 7)))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('{"event_id":"x","user_id":42,"page":"/"}', "42"),
        ('{"user_id": 7}', "7"),
        ('{"user_id" :\t"42"}', "42"),
        (r"{\"user_id\": 42, cut o", "42"),
        ('{"user_id":42', "42"),
    ],
)
def test_a_text_that_names_a_person_is_found(text: str, number: str) -> None:
    found = _SAID.search(text)
    assert found and found[1] == number


@pytest.mark.parametrize("text", ['{"user_id":421}', '{"user_id":142}', '{"user_id":null,"order_id":42}', '{"x_user_id":42}'])
def test_others_are_not(text: str) -> None:
    assert not _SAID.search(text)


@pytest.mark.parametrize(
    ("table", "rows", "named"),
    [
        (erasure.EVENTS, {"user_id": pa.array([1, 42, None], pa.int64())}, {42}),
        (erasure.EVENTS, {"file_path": ["positions of deleted rows"], "pos": [42]}, set()),
        (erasure.DEAD, {"value": [b'{"user_id":7}', None, b'\xff{"user_id":421}']}, {7}),
    ],
)
def test_a_file_names_whom_its_rows_name(table: Table, rows: dict[str, Any], named: set[int]) -> None:
    content = io.BytesIO()
    parquet.write_table(pa.table(rows), content)
    assert iceberg_files._named(parquet.ParquetFile(content), table, {42, 7}) == named
