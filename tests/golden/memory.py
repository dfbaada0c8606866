"""One history through the fold, stored rows in memory: what refine does to a table, without a lake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lakehouse.contract import Column, History, Table
from lakehouse.transforms.history.fold import Difference, Incoming, difference, fold_all
from lakehouse.transforms.history.form import Form
from lakehouse.transforms.records import truncates
from lakehouse.transforms.records.changes import Change as Decoded
from lakehouse.transforms.records.truncates import Truncate
from tests.golden.oracle import COLUMNS, UNCHANGED, WHOLE_TABLE, Change, Key, Version

Row = tuple[Any, ...]


def declared(tracked: Sequence[str]) -> Table:
    """A table with a composite key."""

    def text(name: str, is_tracked: bool = True) -> Column:
        return Column(name=name, type="STRING", doc="A value.", tracked=is_tracked)

    return Table(
        name="cases",
        doc="Cases.",
        grain="one row per key",
        key=("first", "second"),
        history=History.FULL,
        owner="tests",
        max_age_s=1,
        columns=(text("first"), text("second"), *(text(name, name in tracked) for name in COLUMNS)),
    )


@cache
def form_of(tracked: tuple[str, ...]) -> Form:
    return Form(declared(tracked))


@dataclass
class Silver:
    """Stored changes of one history between two runs; `contested` are the lsns of contested changes of all runs."""

    tracked: tuple[str, ...] = COLUMNS
    rows: dict[Row, Row] = field(default_factory=dict)
    truncates: tuple[Truncate, ...] = ()
    runs: int = 0
    contested: set[int] = field(default_factory=set)
    received: list[Decoded] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.form = form_of(self.tracked)
        place = self.form.place
        self._identity = [place[name] for name in self.form.stored.key]
        self._last, self._visible, self._kind = place["_last"], place["_is_visible"], place["_kind"]

    def take(self, batch: Sequence[Change]) -> int:
        """One run over one batch; the number of rows written."""
        changes, known = self.brought(batch)
        new = [truncate for truncate in self.truncates if truncate.place not in known]
        keys = {change.values[:2] for change in changes}
        newest = [row for row in self.rows.values() if row[self._last] and (new or row[:2] in keys)]
        incoming = Incoming(changes=changes, run=self.runs, truncates=self.truncates, new_truncates=new)
        return self._write(difference(self.form, incoming, newest, self._whole_of))

    def rebuild(self, batch: Sequence[Change]) -> int:
        """One run that folds the whole table from scratch, as the heavy caller does; the number of rows that differ."""
        self.brought(batch)
        made = fold_all(self.form, Incoming(changes=self.received, run=self.runs, truncates=self.truncates))
        self.contested |= {change.lsn for change in made.contested}
        return self.replace_rows([written.row for written in made.rows])

    def replace_rows(self, rows: Iterable[Row]) -> int:
        """Replace all stored rows; the number of rows that differ by more than the run."""
        stored, self.rows = self.rows, {}
        self.write_rows(rows)
        # A truncate that met no row of a key stays stored, hidden; folded from scratch, it is not stored.
        missing = stored.keys() - self.rows.keys()
        assert all(stored[key][self._kind] == "truncate" for key in missing), "a stored change is missing"
        # Only `_run` may differ from the incremental result.
        run = self.form.place["_run"]
        self.rows = {
            key: stored[key] if key in stored and _without(row, run) == _without(stored[key], run) else row
            for key, row in self.rows.items()
        }
        return sum(row is not stored.get(key) for key, row in self.rows.items())

    def write_rows(self, rows: Iterable[Row]) -> int:
        """Write rows of the stored form, with or without the workers' verdicts after them; the number of rows to write."""
        taken = list(rows)
        changed = [row[: self.form.width] for row in taken if len(row) == self.form.width or row[-3]]
        self.rows |= {tuple(row[place] for place in self._identity): row for row in changed}
        self.contested |= {row[self.form.place["_lsn"]] for row in taken if len(row) > self.form.width and row[-1]}
        return len(changed)

    def versions(self) -> list[Version]:
        """The visible versions, sorted as the oracle sorts them."""
        found = [_version(self.form, row) for row in self.rows.values() if row[self._visible]]
        return sorted(found, key=lambda version: (version.key, version.from_us))

    def live(self) -> list[Row]:
        """Key and values of the newest rows that are not deletes: what `silver.<table>` shows."""
        newest = (row for row in self.rows.values() if row[self._last] and row[self._kind] in ("read", "upsert"))
        return sorted((row[: self.form.declared] for row in newest), key=str)

    def brought(self, batch: Sequence[Change]) -> tuple[list[Decoded], set[tuple[int, int]]]:
        """The batch's changes, and the places of truncates known before it."""
        self.runs += 1
        changes = [decoded(change) for change in batch if change.key != WHOLE_TABLE]
        self.received += changes
        known = {truncate.place for truncate in self.truncates}
        emptied = [Truncate(c.epoch, c.lsn, c.txid, c.offset or 0, c.at_us) for c in batch if c.key == WHOLE_TABLE]
        self.truncates = truncates.merged(self.truncates, emptied)
        return changes, known

    def _whole_of(self, keys: Any) -> list[Row]:
        return [row for row in self.rows.values() if row[:2] in keys]

    def _write(self, made: Difference) -> int:
        for row, old in made.rows:
            identity = tuple(row[place] for place in self._identity)
            assert self.rows.get(identity) is old
            self.rows[identity] = row
        self.contested |= {change.lsn for change in made.contested}
        return len(made.rows)


def decoded(change: Change) -> Decoded:
    """The change as a decoded record."""
    values = change.values or (None,) * len(COLUMNS)
    known = (None if value == UNCHANGED else value for value in values)
    unchanged = tuple(name for name, value in zip(COLUMNS, values, strict=True) if value == UNCHANGED)
    linked = change.linked and json.dumps({"first": change.linked[0], "second": change.linked[1]}, separators=(",", ":"))
    place = (change.epoch, change.lsn, change.txid, change.last_commit_lsn, change.offset, change.at_us)
    return Decoded((*change.key, *known), change.kind, *place, change.content_hash, unchanged, linked)


def _version(form: Form, row: Row) -> Version:
    def of(name: str) -> Any:
        return row[form.place[name]]

    times = {"from_us": of("_valid_from"), "from_lsn": of("_from_lsn"), "to_us": of("_valid_to"), "to_lsn": of("_to_lsn")}
    return Version(key=row[:2], values=row[2:4], **times, unresolved=of("_unresolved"), previous=_key(of("_previous_key")))


def _key(text: str | None) -> Key | None:
    parts = json.loads(text) if text else None
    return parts and (parts["first"], parts["second"])


def _without(row: Row, place: int) -> Row:
    return (*row[:place], *row[place + 1 :])
