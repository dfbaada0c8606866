"""The descent: what differs is found, only that, and only ranges that differ are looked into."""

from __future__ import annotations

import random

import pytest

from lakehouse.reconcile import checksum_diff
from lakehouse.reconcile.checksum_diff import Key, Part, Row

MOST = 2**63 - 1


class Rows:
    """A side held in memory that remembers how many rows it was asked for one by one."""

    def __init__(self, rows: dict[int, int]) -> None:
        self.content, self.fetched, self.sums_asked = rows, 0, 0

    def sums(self, shift: int, part: Part | None) -> dict[int, tuple[int, int]]:
        self.sums_asked += 1
        found: dict[int, tuple[int, int]] = {}
        for place, digest in self._within(part).items():
            count, combined = found.get(place >> shift, (0, 0))
            found[place >> shift] = (count + 1, combined ^ digest)
        return found

    def rows(self, part: Part) -> dict[Key, Row]:
        found: dict[Key, Row] = {(str(place),): Row(place, digest) for place, digest in self._within(part).items()}
        self.fetched += len(found)
        return found

    def _within(self, part: Part | None) -> dict[int, int]:
        if part is None:
            return self.content
        least, greatest = part.bounds
        return {p: d for p, d in self.content.items() if least <= p <= greatest and p >> part.shift in part.numbers}


def compare(source: dict[int, int], silver: dict[int, int]) -> tuple[checksum_diff.Differences, Rows]:
    ours = Rows(silver)
    shift = checksum_diff.first_shift(min(source, default=0), max(source, default=0))
    return checksum_diff.differences(Rows(source), ours, shift), ours


def named(found: dict[Key, Row]) -> set[int]:
    return {int(key[0]) for key in found}


@pytest.mark.parametrize("seed", range(20))
def test_exactly_the_planted_differences_are_found(seed: int) -> None:
    chance = random.Random(seed)
    bounds = chance.choice([(0, 5_000), (-3_000, 3_000), (-MOST - 1, MOST)])
    source = {chance.randint(*bounds): chance.getrandbits(63) for _ in range(4_000)}
    silver = dict(source)
    missing, different = set(chance.sample(sorted(source), 7)), set(chance.sample(sorted(source), 9))
    different -= missing
    ghosts = {place for place in (chance.randint(*bounds) for _ in range(5)) if place not in source} | {
        bounds[1] + 1 if bounds[1] < MOST else -5
    }
    for place in missing:
        del silver[place]
    silver |= {place: silver[place] ^ 1 for place in different} | dict.fromkeys(ghosts, 1)
    found, _ = compare(source, silver)
    assert (named(found.missing), named(found.missing_at_source), named(found.different)) == (missing, ghosts, different)
    assert found.is_whole and found.rows == len(source)


def test_equal_tables_are_summed_once_and_no_row_is_fetched() -> None:
    source = dict.fromkeys(range(10_000), 7)
    found, silver = compare(source, dict(source))
    assert found == checksum_diff.Differences(rows=10_000)
    assert (silver.sums_asked, silver.fetched) == (1, 0)


def test_one_difference_in_a_large_table_fetches_one_range() -> None:
    source = {place: place for place in range(1_000_000)}
    found, silver = compare(source, source | {123_456: -1})
    assert named(found.different) == {123_456}
    assert silver.fetched <= 1_000_000 / 2_048


def test_a_range_that_one_far_key_made_large_is_divided_again() -> None:
    source = dict.fromkeys(range(20_000), 7) | {MOST: 7}
    found, silver = compare(source, {place: digest for place, digest in source.items() if place != 5})
    assert named(found.missing) == {5}
    assert silver.sums_asked > 1 and silver.fetched <= checksum_diff.LEAF_ROWS


def test_where_too_much_differs_some_is_named_and_the_rest_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum_diff, "MOST_ROWS", 1_000)
    found, _ = compare(dict.fromkeys(range(50_000), 7), {})
    assert not found.is_whole
    assert 1_000 <= len(found.missing) < 50_000


def test_an_emptied_source_makes_every_row_a_ghost() -> None:
    found, _ = compare({}, dict.fromkeys(range(100), 7))
    assert named(found.missing_at_source) == set(range(100)) and found.is_whole


def test_an_empty_silver_misses_every_row() -> None:
    found, _ = compare(dict.fromkeys(range(100), 7), {})
    assert named(found.missing) == set(range(100)) and found.is_whole
