"""Checksum diff of two tables: counts and digests of key ranges are compared, and only ranges that differ are split.

Each row has a place, a 64-bit whole number. A range is all places that are equal except for their last `shift` bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any, Protocol

# A range that differs is split into up to 4096: a million rows become ranges of 250, so that one comparison is enough.
FAN_OUT_BITS = 12
# A range of at most so many rows is fetched instead of split.
LEAF_ROWS = 2_000
# Limits of ranges split and rows fetched: a table with more differences should be read again, not listed.
MOST_RANGES = 256
MOST_ROWS = 200_000

Key = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One row: its place and digest; in silver also the position of the change that wrote it."""

    place: int
    digest: int
    epoch: int | None = None
    lsn: int | None = None
    offset: int | None = None
    is_blocked: bool = False


@dataclass(frozen=True)
class Part:
    """The ranges with these numbers: all places whose bits above the last `shift` are one of them."""

    shift: int
    numbers: tuple[int, ...]

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest place within."""
        return min(self.numbers) << self.shift, ((max(self.numbers) + 1) << self.shift) - 1


class Side(Protocol):
    """One of the two tables."""

    def sums(self, shift: int, part: Part | None) -> dict[int, tuple[int, int]]:
        """Count and digest of each range of `shift` bits, by its number; of one part, or of all for None."""
        ...

    def rows(self, part: Part) -> dict[Key, Row]:
        """The rows of a part by key."""
        ...


@dataclass
class Differences:
    """Keys missing in silver, keys missing at the source, and keys whose rows differ, each with the row that exists (silver's if both do).

    `rows` is the source's count. `is_whole` is false if a limit was reached and not everything was compared.
    """

    rows: int = 0
    missing: dict[Key, Row] = field(default_factory=dict)
    missing_at_source: dict[Key, Row] = field(default_factory=dict)
    different: dict[Key, Row] = field(default_factory=dict)
    is_whole: bool = True


def differences(source: Side, silver: Side, first_shift: int) -> Differences:
    """Compare the two sides, which are queried in parallel."""
    found = Differences()
    leaves: list[tuple[int, dict[int, int]]] = []
    shift, part = first_shift, None
    while True:
        theirs, ours = _both(source, silver, methodcaller("sums", shift, part))
        if part is None:
            found.rows = sum(count for count, _ in theirs.values())
        differing = {
            number: _most_rows(number, theirs, ours)
            for number in sorted(theirs.keys() | ours.keys())
            if theirs.get(number) != ours.get(number)
        }
        large = [number for number, rows in differing.items() if rows > LEAF_ROWS and shift > 0]
        leaves.append((shift, {number: differing[number] for number in differing.keys() - set(large)}))
        if not large:
            break
        found.is_whole &= len(large) <= MOST_RANGES
        part = Part(shift, tuple(large[:MOST_RANGES]))
        shift = max(0, shift - FAN_OUT_BITS)
    for leaf in _within_limit(leaves, found):
        _compare_rows(found, *_both(source, silver, methodcaller("rows", leaf)))
    return found


def first_shift(least: int, greatest: int) -> int:
    """The smallest shift that divides the places from `least` to `greatest` into at most 4096 ranges."""
    shift = 0
    while (greatest >> shift) - (least >> shift) >= 1 << FAN_OUT_BITS:
        shift += 1
    return shift


def _both(source: Side, silver: Side, query: Callable[[Side], Any]) -> tuple[Any, Any]:
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(query, source)
        ours = query(silver)
        return theirs.result(), ours


def _most_rows(number: int, theirs: dict[int, tuple[int, int]], ours: dict[int, tuple[int, int]]) -> int:
    return max(theirs.get(number, (0, 0))[0], ours.get(number, (0, 0))[0])


def _within_limit(leaves: Iterable[tuple[int, dict[int, int]]], found: Differences) -> Iterator[Part]:
    """The parts to fetch, up to MOST_ROWS rows in all; clears `found.is_whole` if some are left out."""
    room = MOST_ROWS
    for shift, sizes in leaves:
        taken = []
        for number, rows in sorted(sizes.items()):
            if room <= 0:
                found.is_whole = False
                break
            taken.append(number)
            room -= rows
        if taken:
            yield Part(shift, tuple(taken))


def _compare_rows(found: Differences, theirs: dict[Key, Row], ours: dict[Key, Row]) -> None:
    found.missing.update({key: row for key, row in theirs.items() if key not in ours})
    found.missing_at_source.update({key: row for key, row in ours.items() if key not in theirs})
    found.different.update({key: row for key, row in ours.items() if key in theirs and theirs[key].digest != row.digest})
