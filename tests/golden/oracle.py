"""What history must be, said a second time: one key at a time, one change after another, in plain Python.

It shares no code with the transform it judges, and is itself judged by `world.py`, which knows the truth because it made it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

UNCHANGED = "?"  # a value the change did not carry
COLUMNS = ("name", "detail")
Value = str | None
Key = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """One change of one key; times in microseconds. `values` is None for a delete."""

    key: Key
    kind: str
    lsn: int
    at_us: int
    offset: int
    values: tuple[Value, ...] | None = None
    txid: int | None = None
    epoch: int = 1
    last_commit_lsn: int | None = None

    @property
    def identity(self) -> tuple[Key, int, int, str]:
        return self.key, self.epoch, self.lsn, self.kind

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(repr(self.values).encode()).hexdigest()


@dataclass(frozen=True)
class Version:
    """One visible version; `to_us` None while open."""

    key: Key
    values: tuple[Value, ...]
    from_us: int
    from_lsn: int
    to_us: int | None = None
    to_lsn: int | None = None
    unresolved: tuple[str, ...] = ()


@dataclass
class Rules:
    """The rules as they are; a test plants a fault by overriding one."""

    tracked: tuple[str, ...] = COLUMNS
    versions: list[Version] = field(default_factory=list)

    def fold(self, changes: Iterable[Change]) -> list[Version]:
        """All versions of all keys, sorted."""
        by_key: dict[Key, list[Change]] = defaultdict(list)
        for change in self.distinct(changes):
            by_key[change.key].append(change)
        self.versions = []
        for members in by_key.values():
            self._fold_key(list(last_states(resolve(self.ordered(members)))))
        return sorted(self.versions, key=lambda version: (version.key, version.from_us))

    def distinct(self, changes: Iterable[Change]) -> list[Change]:
        """One change an identity: the greater content hash, with the smallest offset seen."""
        best: dict[object, Change] = {}
        for change in changes:
            known = best.setdefault(change.identity, change)
            winner = max(known, change, key=lambda candidate: (candidate.content_hash, -candidate.at_us))
            best[change.identity] = replace(winner, offset=min(known.offset, change.offset))
        return list(best.values())

    def ordered(self, changes: list[Change]) -> list[Change]:
        """One key's changes in order: by epoch; a read before the first change that stands after it."""
        ordered: list[Change] = []
        for epoch in sorted({change.epoch for change in changes}):
            members = [change for change in changes if change.epoch == epoch]
            row = sorted((c for c in members if c.kind != "read"), key=lambda c: (c.lsn, c.kind == "upsert"))
            before = len(row)
            for read in sorted((c for c in members if c.kind == "read"), key=lambda c: -c.lsn):
                places = [place for place, change in enumerate(row[:before]) if stands_after(change, read)]
                before = min([*places, before])
                row.insert(before, read)
            ordered += row
        return ordered

    def _fold_key(self, states: list[tuple[Change, tuple[Value, ...] | None, tuple[str, ...]]]) -> None:
        live: Version | None = None
        clock_us: int | None = None
        for change, values, unresolved in states:
            if values is None and live is None:
                continue
            at_us = change.at_us if clock_us is None else max(change.at_us, clock_us + 1)
            clock_us = at_us
            if live and values is not None and self._tracked(values) == self._tracked(live.values):
                live = replace(live, values=values, unresolved=unresolved)
                continue
            if live:
                self.versions.append(replace(live, to_us=at_us, to_lsn=change.lsn))
            live = None if values is None else Version(change.key, values, at_us, change.lsn, unresolved=unresolved)
        if live:
            self.versions.append(live)

    def _tracked(self, values: tuple[Value, ...]) -> list[Value]:
        return [value for name, value in zip(COLUMNS, values, strict=True) if name in self.tracked]


State = tuple[Change, tuple[Value, ...] | None, tuple[str, ...]]


def stands_after(change: Change, read: Change) -> bool:
    """Whether the change's transaction committed after the read was taken."""
    if change.last_commit_lsn is not None and change.last_commit_lsn >= read.lsn:
        return True
    return change.offset > read.offset


def resolve(changes: Iterable[Change]) -> Iterator[State]:
    """Each change with its values filled in, and the names of those nobody knows."""
    known: dict[str, Value] = {}
    for change in changes:
        if change.values is None:
            known = {}
            yield change, None, ()
            continue
        for name, value in zip(COLUMNS, change.values, strict=True):
            if value != UNCHANGED:
                known[name] = value
        values = tuple(known.get(name) for name in COLUMNS)
        yield change, values, tuple(name for name in COLUMNS if name not in known)


def last_states(states: Iterable[State]) -> Iterator[State]:
    """Only the last state a transaction leaves; a read belongs to none."""
    rows = list(states)
    for (change, values, unresolved), (following, _, _) in pairwise(rows):
        same = change.txid is not None and (change.epoch, change.txid) == (following.epoch, following.txid)
        if not same:
            yield change, values, unresolved
    yield from rows[-1:]
