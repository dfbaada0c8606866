"""Truncates of a source table: one record concerns all keys, so they are stored in the table's checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Truncate:
    """One TRUNCATE at the source: position, transaction, offset of the first delivery, commit time in microseconds."""

    epoch: int
    lsn: int
    txid: int | None
    offset: int
    commit_us: int

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.lsn


def merged(known: Iterable[Truncate], more: Iterable[Truncate]) -> tuple[Truncate, ...]:
    """All truncates in order, one per position; of a repeated delivery the known one is kept.

    The offset is stored in the rows that a truncate closed. Replacing it by a smaller one, which changes no result, would rewrite all of
    them.
    """
    by_place = {truncate.place: truncate for truncate in sorted(more, key=lambda truncate: truncate.offset, reverse=True)}
    by_place |= {truncate.place: truncate for truncate in known}
    return tuple(sorted(by_place.values(), key=lambda truncate: truncate.place))


def to_json(truncates: Iterable[Truncate]) -> str:
    """The truncates as JSON for the table's checkpoint."""
    return json.dumps([asdict(truncate) for truncate in truncates])


def from_json(text: str | None) -> tuple[Truncate, ...]:
    """The truncates of the table's checkpoint; none for NULL."""
    return tuple(Truncate(**values) for values in json.loads(text or "[]"))
