"""Ranges of the event topics: from where a commit ended to the frontier, without a record twice or left out."""

from __future__ import annotations

import pytest

from lakehouse.live.offsets import Kept, planned
from tests.refusals import refused

KEPT = {("e", "0"): Kept(0, 120, 100), ("e", "1"): Kept(10, 30, 30), ("t", "0"): Kept(5, 5, 5)}


def test_a_partition_without_an_offset_begins_at_its_oldest_record() -> None:
    found = planned(KEPT, {"e": {"0": 60}}, 1000)
    assert found.start == {"e": {"0": 60, "1": 10}, "t": {"0": 5}}
    assert found.end == {"e": {"0": 100, "1": 30}, "t": {"0": 5}}
    assert (found.records, found.is_whole) == (60, True)


def test_a_frontier_behind_the_start_is_an_empty_range() -> None:
    found = planned({("e", "0"): Kept(0, 60, 50)}, {"e": {"0": 60}}, 1000)
    assert (found.start, found.end, found.records) == ({"e": {"0": 60}}, {"e": {"0": 60}}, 0)


@pytest.mark.parametrize("most", [1, 7, 60, 119])
def test_a_backlog_is_read_in_parts_that_leave_nothing_out(most: int) -> None:
    start: dict[str, dict[str, int]] = {}
    read = 0
    for _ in range(1000):
        found = planned(KEPT, start, most)
        assert (found.is_whole or found.records > 0) and found.records <= most + len(KEPT)
        read += found.records
        start = found.end
        if found.is_whole:
            break
    assert read == 120
    assert start == {"e": {"0": 100, "1": 30}, "t": {"0": 5}}


def test_records_that_kafka_has_deleted_are_named_and_skipped_only_on_request() -> None:
    with refused("records 3 to 9 of e, partition 1", cure="skip-events"):
        planned(KEPT, {"e": {"1": 3}}, 1000)
    assert planned(KEPT, {"e": {"1": 3}}, 1000, may_skip=True).start["e"]["1"] == 10
    assert planned(KEPT, {"e": {"1": 3}}, 1000, may_skip=True).skips({"e": {"1": 3}})


def test_a_topic_that_was_created_again_is_named() -> None:
    with refused("ends at 30, before 1000", cure="drop the tables"):
        planned(KEPT, {"e": {"1": 1000}}, 1000)
