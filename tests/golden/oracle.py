"""An independent implementation of history: one change after another, in plain Python.

It shares no code with the transform it checks, and is itself checked against `world.py`, which generates histories with a known truth.
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
Values = tuple[Value, ...]
Key = tuple[str, str]
WHOLE_TABLE: Key = ("*", "*")  # the key of a truncate
_RANK = {"truncate": 0, "delete": 1, "upsert": 2}


@dataclass(frozen=True)
class Change:
    """One change of one key; times in microseconds. `values` is None for a delete and a truncate.

    `linked` is the other key of a primary-key change: the old key of an upsert, the new one of a delete.
    """

    key: Key
    kind: str
    lsn: int
    at_us: int
    offset: int | None
    values: Values | None = None
    txid: int | None = None
    epoch: int = 1
    last_commit_lsn: int | None = None
    linked: Key | None = None

    @property
    def identity(self) -> tuple[Key, int, int, str]:
        return self.key, self.epoch, self.lsn, self.kind

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(repr(self.values).encode()).hexdigest()

    def is_same_transaction(self, other: Change) -> bool:
        """Whether both belong to one transaction; a read belongs to none."""
        return self.txid is not None and (self.epoch, self.txid) == (other.epoch, other.txid)


@dataclass(frozen=True)
class Version:
    """One visible version; `to_us` None while open."""

    key: Key
    values: Values
    from_us: int
    from_lsn: int
    to_us: int | None = None
    to_lsn: int | None = None
    unresolved: tuple[str, ...] = ()
    previous: Key | None = None


@dataclass(frozen=True)
class State:
    """State of a key after a change: resolved values, unresolved columns, and the key last visible outside the transaction."""

    change: Change
    values: Values | None = None
    unresolved: tuple[str, ...] = ()
    origin: Key | None = None

    @property
    def moved_from(self) -> Key | None:
        """The previous key, where the row was visible under another one."""
        return None if self.origin == self.change.key else self.origin


@dataclass
class Rules:
    """The rules of history; a test injects a fault by overriding one."""

    tracked: tuple[str, ...] = COLUMNS
    versions: list[Version] = field(default_factory=list)
    _rows: dict[Key, list[Change]] = field(default_factory=dict)
    _states: dict[tuple[Key, int], State] = field(default_factory=dict)

    def fold(self, changes: Iterable[Change]) -> list[Version]:
        """All versions of all keys, sorted."""
        by_key: dict[Key, list[Change]] = defaultdict(list)
        for change in self.halves(self.distinct(changes)):
            by_key[change.key].append(change)
        truncates = by_key.pop(WHOLE_TABLE, [])
        self._rows = {key: self.effective([*rows, *(replace(t, key=key) for t in truncates)]) for key, rows in by_key.items()}
        self.versions, self._states = [], {}
        for key, rows in self._rows.items():
            self._fold_key(list(last_states(self._state(key, place) for place in range(len(rows)))))
        return sorted(self.versions, key=lambda version: (version.key, version.from_us))

    def distinct(self, changes: Iterable[Change]) -> list[Change]:
        """One change per identity: the greater content hash, with the smallest offset seen."""
        best: dict[object, Change] = {}
        for change in changes:
            known = best.setdefault(change.identity, change)
            winner = max(known, change, key=lambda candidate: (candidate.content_hash, -candidate.at_us))
            best[change.identity] = replace(winner, offset=min(known.offset or 0, change.offset or 0))
        return list(best.values())

    def halves(self, changes: Iterable[Change]) -> Iterator[Change]:
        """The changes, and the delete implied by each half of a key change, unless it is among them."""
        given = list(changes)
        known = {change.identity for change in given}
        for change in given:
            yield change
            if change.kind == "upsert" and change.linked:
                half = replace(change, key=change.linked, kind="delete", values=None, linked=change.key, offset=None)
                if half.identity not in known:
                    yield half

    def ordered(self, changes: list[Change]) -> list[Change]:
        """One key's changes in order: by epoch; a read precedes the first change that follows it."""
        ordered: list[Change] = []
        for epoch in sorted({change.epoch for change in changes}):
            members = [change for change in changes if change.epoch == epoch]
            row = sorted((c for c in members if c.kind != "read"), key=lambda c: (c.lsn, _RANK[c.kind]))
            before = len(row)
            for read in sorted((c for c in members if c.kind == "read"), key=lambda c: -c.lsn):
                places = [place for place, change in enumerate(row[:before]) if follows(change, read)]
                before = min([*places, before])
                row.insert(before, read)
            ordered += row
        return ordered

    def effective(self, changes: list[Change]) -> list[Change]:
        """One key's changes in order, without truncates that found no row."""
        found: list[Change] = []
        for change in self.ordered(changes):
            if change.kind != "truncate" or (found and found[-1].values is not None):
                found.append(change)
        return found

    def _state(self, key: Key, place: int) -> State:
        """The state after the change at that position; computed once."""
        known = self._states.get((key, place))
        if known is None:
            # An injected wrong order can form a cycle, which is cut here.
            self._states[key, place] = State(self._rows[key][place])
            known = self._states[key, place] = self._resolved(key, place)
        return known

    def _resolved(self, key: Key, place: int) -> State:
        change = self._rows[key][place]
        if change.values is None:
            return State(change)
        if change.linked:
            source = self._moved_from(change)
            origin = source.origin if source and source.change.is_same_transaction(change) else change.linked
        else:
            before = self._state(key, place - 1) if place else None
            source = before if before and before.values is not None else None
            origin = (source.origin if source.change.is_same_transaction(change) else key) if source else None
        inherited: dict[str, Value] = {}
        if source and source.values is not None:
            inherited = {n: v for n, v in zip(COLUMNS, source.values, strict=True) if n not in source.unresolved}
        known = inherited | {n: v for n, v in zip(COLUMNS, change.values, strict=True) if v != UNCHANGED}
        return State(change, tuple(known.get(n) for n in COLUMNS), tuple(n for n in COLUMNS if n not in known), origin)

    def _moved_from(self, change: Change) -> State | None:
        """The state of the old key before the row left it, if known."""
        assert change.linked
        rows = self._rows[change.linked]
        place = next(n for n, row in enumerate(rows) if (row.epoch, row.lsn, row.kind) == (change.epoch, change.lsn, "delete"))
        left = self._state(change.linked, place - 1) if place else None
        return left if left and left.values is not None else None

    def _fold_key(self, states: list[State]) -> None:
        live: Version | None = None
        clock_us: int | None = None
        for state in states:
            change, values = state.change, state.values
            if values is None and live is None:
                continue
            at_us = change.at_us if clock_us is None else max(change.at_us, clock_us + 1)
            is_same_row = values is not None and state.moved_from is None
            if live and is_same_row and values is not None and self._tracked(values) == self._tracked(live.values):
                # A read that finds an unchanged row does not move its time.
                clock_us = clock_us if change.kind == "read" else at_us
                live = replace(live, values=values, unresolved=state.unresolved)
                continue
            clock_us = at_us
            if live:
                self.versions.append(replace(live, to_us=at_us, to_lsn=change.lsn))
            opened = {"unresolved": state.unresolved, "previous": state.moved_from}
            live = None if values is None else Version(change.key, values, at_us, change.lsn, **opened)  # type: ignore[arg-type]
        if live:
            self.versions.append(live)

    def _tracked(self, values: Values) -> list[Value]:
        return [value for name, value in zip(COLUMNS, values, strict=True) if name in self.tracked]


def follows(change: Change, read: Change) -> bool:
    """Whether the change's transaction committed after the read."""
    if change.kind == "truncate":
        return change.lsn > read.lsn
    if change.last_commit_lsn is not None and change.last_commit_lsn >= read.lsn:
        return True
    return change.offset is not None and read.offset is not None and change.offset > read.offset


def last_states(states: Iterable[State]) -> Iterator[State]:
    """The last state of each transaction; a read belongs to none."""
    rows = list(states)
    for state, following in pairwise(rows):
        if not state.change.is_same_transaction(following.change):
            yield state
    yield from rows[-1:]
