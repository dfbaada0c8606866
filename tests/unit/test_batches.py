"""The bounds of a batch's keys: around all of them, not much wider, and mostly those of the run before."""

from __future__ import annotations

import random

import pytest

from lakehouse.silver.heavy_batch import wide_bounds

LONG = 2**63


@pytest.mark.parametrize("span", [0, 1, 100, 10**6, 10**12, LONG])
def test_bounds_hold_the_batch_and_are_not_much_wider(span: int) -> None:
    chance = random.Random(span)
    for _ in range(500):
        least = chance.randint(-LONG, LONG - 1 - span)
        low, high = wide_bounds(least, least + span)
        assert -LONG <= low <= least and least + span <= high < LONG
        assert high - low < max(3 * span, 1 << 15)


def test_batches_like_each_other_have_bounds_in_common() -> None:
    chance = random.Random(7)
    few = {wide_bounds(*sorted(chance.sample(range(5_000), 2))) for _ in range(100)}
    spread = {wide_bounds(chance.randint(1, 1_000), chance.randint(999_000, 1_000_000)) for _ in range(100)}
    newest = {wide_bounds(900_000 + 500 * run, 950_000 + 500 * run) for run in range(100)}
    assert (len(few), len(spread)) == (1, 1)
    assert len(newest) < 10
