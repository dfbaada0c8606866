"""Results of decoding: changes and truncates to fold, faults for quarantine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lakehouse.transforms.records import keys
from lakehouse.transforms.records.received import Record
from lakehouse.transforms.records.truncates import Truncate

READ, UPSERT, DELETE, TRUNCATE, MESSAGE, TOMBSTONE = "read", "upsert", "delete", "truncate", "message", "tombstone"


class Change(NamedTuple):
    """One change of one key: the declared columns' typed values, and what history needs to order it.

    A read or upsert carries the values of `after`; a delete only its key. A column received as an unavailable-value placeholder is None and
    listed in `unchanged`. `commit_at` is in microseconds. `linked_key`: the other key of a primary-key change, as JSON.
    """

    values: tuple[Any, ...]
    kind: str
    epoch: int
    lsn: int
    txid: int | None
    last_commit_lsn: int | None
    offset: int | None
    commit_at: int
    content_hash: str
    unchanged: tuple[str, ...]
    linked_key: str | None


class Place(NamedTuple):
    """Position of a quarantined record of a key; `epoch` and `lsn` are None where they cannot be read."""

    key: keys.Key
    epoch: int | None
    lsn: int | None
    offset: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A record that cannot be used: the reason, the detail, the record, and the declared columns as far as they can be read."""

    reason: str
    detail: str | None
    record: Record
    values: tuple[Any, ...]
    lsn: int | None


@dataclass(kw_only=True)
class Decoded:
    """Decoded records of a table: `changes` to fold, `truncates` of the whole table, `faults` for quarantine, and a count of the others.

    `tombstones`: the null-valued records that follow deletes. `records` counts all of them.
    """

    changes: list[Change] = field(default_factory=list)
    truncates: list[Truncate] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    tombstones: list[Record] = field(default_factory=list)
    messages: int = 0

    @property
    def records(self) -> int:
        return len(self.changes) + len(self.truncates) + len(self.faults) + len(self.tombstones) + self.messages

    @property
    def has_links(self) -> bool:
        """Whether any change is a primary-key change."""
        return any(change.linked_key is not None for change in self.changes)
