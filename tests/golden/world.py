"""Random histories with a known truth: a small database that commits, and the changes in its log.

The truth is taken from the committed rows, never from the changes, so it can check any reader of the changes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from tests.golden.notation import INSTANT_US, SECOND_US
from tests.golden.oracle import COLUMNS, UNCHANGED, WHOLE_TABLE, Change, Key, Value, Version

_KEYS: tuple[Key, ...] = (("k", ""), ("l", ""), ("m", ""))


@dataclass(eq=False)
class _Row:
    """A row with its identity, which a primary-key change keeps. `home`: the key under which it was last visible to others."""

    values: tuple[Value, ...]
    home: Key | None = None


@dataclass
class World:
    """One database of few keys; `changes` in the order of the log, `truth` as `SELECT` would have shown it."""

    seed: int
    tracked: tuple[str, ...] = COLUMNS
    changes: list[Change] = field(default_factory=list)
    truth: list[Version] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._rows: dict[Key, _Row] = {}
        self._open: dict[Key, Version] = {}
        self._clocks: dict[Key, int] = {}
        self._lsn = self._random.randint(10, 50)
        self._epoch = 1
        self._last_commit: int | None = None
        self._at_us = INSTANT_US
        for txid in range(self._random.randint(2, 9)):
            self._pass_time()
            chance = self._random.random()
            if chance < 0.1:
                self._change_without_log()
                self._snapshot()
            elif chance < 0.14:
                self._fail_over()
            else:
                self._transaction(txid, is_read_meanwhile=chance > 0.85)
        self.truth = sorted([*self.truth, *self._open.values()], key=lambda version: (version.key, version.from_us))

    def _pass_time(self) -> None:
        # One step in eight goes backwards and one stands still: clocks are adjusted.
        self._at_us += self._random.choice([-2, 0, 1, 1, 1, 2, 3, 5]) * SECOND_US

    def _change_without_log(self) -> None:
        """Sometimes replace rows without a log record: the capture was off, and the following snapshot reads them."""
        for key in _KEYS:
            if self._random.random() < 0.2:
                self._rows[key] = _Row((self._random.choice("ab"), self._random.choice(["x", "y", None])))

    def _fail_over(self) -> None:
        """Fail over to another server: its log begins at a low position, and the capture takes a new snapshot."""
        self._epoch += 1
        self._lsn, self._last_commit = self._random.randint(1, 9), None
        self._snapshot()

    def _snapshot(self) -> None:
        self._lsn += 10
        for key, row in self._rows.items():
            self._log([self._change(key, "read", row.values)])
            self._commit(key, row, self.changes[-1])
        self._settle()

    def _transaction(self, txid: int, is_read_meanwhile: bool) -> None:
        before = dict(self._rows)
        logged: list[Change] = []
        touched: dict[Key, Change] = {}
        for _ in range(self._random.choice([1, 1, 1, 2, 3, 4])):
            self._lsn += self._random.randint(1, 3)
            present = list(self._rows)
            for change in self._statement(txid):
                logged.append(change)
                touched |= dict.fromkeys(present if change.key == WHOLE_TABLE else (change.key,), change)
        # TRUNCATE and readers exclude each other; other changes do not block readers.
        if is_read_meanwhile and all(change.kind != "truncate" for change in logged):
            after, self._rows = self._rows, before
            self._snapshot()
            self._rows = after
            self._last_commit = self._random.choice([self._last_commit, self._lsn])
            logged = [replace(change, last_commit_lsn=self._last_commit) for change in logged]
        self._log(logged)
        for key, last in touched.items():
            self._commit(key, self._rows.get(key), last)
        self._settle()
        self._lsn += 1
        self._last_commit = self._lsn

    def _statement(self, txid: int) -> list[Change]:
        key = self._random.choice(_KEYS)
        row = self._rows.get(key)
        chance = self._random.random()
        if chance < 0.04:
            self._rows = {}
            return [self._change(WHOLE_TABLE, "truncate", None, txid)]
        values: tuple[Value, ...] = (self._random.choice("ab"), self._random.choice(["x", "y", None]))
        if row is None:
            # A COPY gives all of its rows one position.
            copied = [other for other in _KEYS if other not in self._rows] if chance > 0.8 else [key]
            self._rows |= {other: _Row(values) for other in copied}
            return [self._change(other, "upsert", values, txid) for other in copied]
        if chance < 0.25:
            del self._rows[key]
            return [self._change(key, "delete", None, txid)]
        # The log omits a TOASTed value that an update did not change.
        is_unchanged = self._random.random() < 0.5
        carried = (values[0], UNCHANGED) if is_unchanged else values
        values = (values[0], row.values[1]) if is_unchanged else values
        free = [other for other in _KEYS if other not in self._rows]
        if chance < 0.45 and free:
            new = self._random.choice(free)
            del self._rows[key]
            self._rows[new] = _Row(values, row.home)
            return [self._change(key, "delete", None, txid, new), self._change(new, "upsert", carried, txid, key)]
        self._rows[key] = _Row(values, row.home)
        return [self._change(key, "upsert", carried, txid)]

    def _change(self, key: Key, kind: str, values: tuple[Value, ...] | None, txid: int | None = None, linked: Key | None = None) -> Change:
        place = {"lsn": self._lsn, "at_us": self._at_us, "last_commit_lsn": self._last_commit, "epoch": self._epoch, "linked": linked}
        return Change(key=key, kind=kind, values=values, txid=txid, offset=None, **place)  # type: ignore[arg-type]

    def _log(self, logged: list[Change]) -> None:
        self.changes += [replace(change, offset=len(self.changes) + place) for place, change in enumerate(logged)]

    def _commit(self, key: Key, row: _Row | None, change: Change) -> None:
        shown = self._open.get(key)
        if shown is None and row is None:
            return
        at_us = max(change.at_us, self._clocks.get(key, change.at_us - 1) + 1)
        moved_from = row.home if row and row.home != key else None
        if shown and row and moved_from is None and self._is_equal(shown.values, row.values):
            # A read that finds an unchanged row does not move its time.
            if change.kind != "read":
                self._clocks[key] = at_us
            self._open[key] = replace(shown, values=row.values)
            return
        self._clocks[key] = at_us
        if shown:
            self.truth.append(replace(self._open.pop(key), to_us=at_us, to_lsn=change.lsn))
        if row:
            self._open[key] = Version(key, row.values, at_us, change.lsn, previous=moved_from)

    def _settle(self) -> None:
        """Make the rows visible to others under their current keys."""
        self._rows = {key: _Row(row.values, key) for key, row in self._rows.items()}

    def _is_equal(self, one: tuple[Value, ...], other: tuple[Value, ...]) -> bool:
        return all(a == b for name, a, b in zip(COLUMNS, one, other, strict=True) if name in self.tracked)


def deliveries(changes: list[Change], seed: int, most: int = 4) -> list[list[Change]]:
    """The same changes in random delivery: shuffled, some twice with later offsets, in 1 to `most` batches."""
    chance = random.Random(seed)
    repeats = [replace(change, offset=(change.offset or 0) + 1000) for change in changes if chance.random() < 0.3]
    records = [*changes, *repeats]
    if chance.random() < 0.7:
        chance.shuffle(records)
    batches: list[list[Change]] = [[] for _ in range(chance.randint(1, most))]
    for number, record in enumerate(records):
        batches[number * len(batches) // len(records)].append(record)
    return batches
