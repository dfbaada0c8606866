"""Random histories with a known truth: a small database that commits, and the changes its log would carry.

The truth is taken from the rows as committed, never from the changes, so that it judges whoever reads the changes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from tests.golden.notation import INSTANT_US, SECOND_US
from tests.golden.oracle import COLUMNS, UNCHANGED, Change, Key, Value, Version

Row = tuple[Value, ...]


@dataclass
class World:
    """One database of few keys; `changes` in the order of the log, `truth` as `SELECT` would have shown it."""

    seed: int
    tracked: tuple[str, ...] = COLUMNS
    changes: list[Change] = field(default_factory=list)
    truth: list[Version] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._rows: dict[Key, Row | None] = {}
        self._open: dict[Key, Version] = {}
        self._clocks: dict[Key, int] = {}
        self._lsn = self._random.randint(10, 50)
        self._last_commit: int | None = None
        self._at_us = INSTANT_US
        for txid in range(self._random.randint(2, 9)):
            self._pass_time()
            if self._random.random() < 0.1:
                self._snapshot()
            else:
                self._transaction(txid)
        self.truth = sorted([*self.truth, *self._open.values()], key=lambda version: (version.key, version.from_us))

    def _pass_time(self) -> None:
        # One step in eight goes backwards or stands still: clocks are set.
        self._at_us += self._random.choice([-2, 0, 1, 1, 1, 2, 3, 5]) * SECOND_US

    def _snapshot(self) -> None:
        self._lsn += 10
        for key, row in self._rows.items():
            if row is not None:
                self._log(key, "read", row, None)
                self._commit(key, row, self.changes[-1])

    def _transaction(self, txid: int) -> None:
        touched: dict[Key, Change] = {}
        for _ in range(self._random.choice([1, 1, 1, 2, 3])):
            self._lsn += self._random.randint(1, 3)
            key = (self._random.choice("kl"), "")
            self._statement(key, txid)
            touched[key] = self.changes[-1]
        for key, last in touched.items():
            self._commit(key, self._rows[key], last)
        self._lsn += 1
        self._last_commit = self._lsn

    def _statement(self, key: Key, txid: int) -> None:
        row = self._rows.get(key)
        if row is not None and self._random.random() < 0.25:
            self._rows[key] = None
            self._log(key, "delete", None, txid)
            return
        carried: Row = (self._random.choice("ab"), self._random.choice(["x", "y", None]))
        if row is not None and self._random.random() < 0.4:
            self._rows[key] = (carried[0], row[1])
            # The log leaves out a wide value that an update did not touch.
            self._log(key, "upsert", (carried[0], UNCHANGED), txid)
            return
        self._rows[key] = carried
        self._log(key, "upsert", carried, txid)

    def _log(self, key: Key, kind: str, values: Row | None, txid: int | None) -> None:
        place = {"lsn": self._lsn, "at_us": self._at_us, "offset": len(self.changes), "last_commit_lsn": self._last_commit}
        self.changes.append(Change(key=key, kind=kind, values=values, txid=txid, **place))  # type: ignore[arg-type]

    def _commit(self, key: Key, row: Row | None, change: Change) -> None:
        shown = self._open.get(key)
        if shown is None and row is None:
            return
        at_us = max(change.at_us, self._clocks.get(key, change.at_us - 1) + 1)
        self._clocks[key] = at_us
        if shown and row is not None and self._is_equal(shown.values, row):
            self._open[key] = replace(shown, values=row)
            return
        if shown:
            self.truth.append(replace(self._open.pop(key), to_us=at_us, to_lsn=change.lsn))
        if row is not None:
            self._open[key] = Version(key, row, at_us, change.lsn)

    def _is_equal(self, one: Row, other: Row) -> bool:
        return all(a == b for name, a, b in zip(COLUMNS, one, other, strict=True) if name in self.tracked)


def deliveries(changes: list[Change], seed: int, most: int = 4) -> list[list[Change]]:
    """The same changes as a careless carrier brings them: shuffled, some twice with later offsets, in 1 to `most` batches."""
    chance = random.Random(seed)
    repeats = [replace(change, offset=change.offset + 1000) for change in changes if chance.random() < 0.3]
    records = [*changes, *repeats]
    if chance.random() < 0.7:
        chance.shuffle(records)
    batches: list[list[Change]] = [[] for _ in range(chance.randint(1, most))]
    for number, record in enumerate(records):
        batches[number * len(batches) // len(records)].append(record)
    return batches
