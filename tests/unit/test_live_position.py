"""The position that a table of the live half has reached, whatever the clocks of its commits."""

from __future__ import annotations

import json

import pytest

from lakehouse.live import validate
from lakehouse.live.position import furthest


@pytest.mark.parametrize(
    ("positions", "reached"),
    [
        ([], {}),
        ([{}, {}], {}),
        ([{"offsets": {"t": {"0": 5, "1": 2}}}, {"offsets": {"t": {"0": 5, "1": 3}}}], {"offsets": {"t": {"0": 5, "1": 3}}}),
        ([{"final_before_s": 60}, {"final_before_s": 120}, {}], {"final_before_s": 120}),
        ([{"files": ["a"]}, {"files": ["a", "b"]}], {"files": ["a", "b"]}),
        ([{"files": ["a"], "offsets": {"t": {"0": 1}}}, {"files": ["a"]}], {"files": ["a"], "offsets": {"t": {"0": 1}}}),
    ],
)
def test_the_position_that_has_read_most_is_taken(positions, reached):
    assert furthest(map(json.dumps, positions)) == reached
    assert furthest(map(json.dumps, reversed(positions))) == reached


def test_what_was_sent_more_often_than_kafka_answered_is_in_doubt(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    lines = [{"sending": ["a", "b"]}, {"event_id": "a"}, {"sending": ["b", "c"]}, {"event_id": "b"}, {"event_id": "c"}]
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"sending": ["d"')
    assert validate._doubtful(ledger) == {"b"}
