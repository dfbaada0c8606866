"""Forgotten people in dead letters: found in any text that a record of the events may be, and nobody else with them."""

from __future__ import annotations

import re

import pytest

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
