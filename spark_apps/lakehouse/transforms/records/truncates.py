"""Truncates of a source table: one record concerns all keys, so they are kept with the table's checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Truncate:
    """One TRUNCATE at the source: its place, its transaction, the offset it first came with, its commit time in microseconds."""

    epoch: int
    lsn: int
    txid: int | None
    offset: int
    commit_us: int

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.lsn


def merged(known: Iterable[Truncate], more: Iterable[Truncate]) -> tuple[Truncate, ...]:
    """Both, in order, one a place: a truncate that comes again is the same one, as it is known.

    Rows that it closed are stored with it. With the smaller offset of a repetition, which decides nothing, each of them would be
    written again whenever its key is next looked at.
    """
    by_place = {truncate.place: truncate for truncate in sorted(more, key=lambda truncate: truncate.offset, reverse=True)}
    by_place |= {truncate.place: truncate for truncate in known}
    return tuple(sorted(by_place.values(), key=lambda truncate: truncate.place))


def to_json(truncates: Iterable[Truncate]) -> str:
    """For the table's checkpoint."""
    return json.dumps([asdict(truncate) for truncate in truncates])


def from_json(text: str | None) -> tuple[Truncate, ...]:
    """From the table's checkpoint, where a table that was never truncated has none."""
    return tuple(Truncate(**values) for values in json.loads(text or "[]"))
