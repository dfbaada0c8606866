"""One change of one key within the fold."""

from __future__ import annotations

from typing import cast

from lakehouse.transforms.history.form import Form, Key, Row
from lakehouse.transforms.records.changes import DELETE, READ, TRUNCATE, UPSERT, Change
from lakehouse.transforms.records.truncates import Truncate

# Order of kinds at one lsn: truncate, delete, upsert; so a delete and an upsert of a key at one lsn leave the row.
RANK = {TRUNCATE: 0, DELETE: 1, UPSERT: 2, READ: 2}

_ROWS = frozenset((UPSERT, READ))

# Start, position and previous key of a version.
Head = tuple[int | None, int | None, str | None]


class Step:
    """A change with its fields, its stored row and the results of the fold.

    `old`: the stored row of its identity. `is_state`: that row is the newest of its key and represents all changes before it. `is_placed`:
    an earlier run folded it. `blank`: columns whose values it does not carry.
    """

    __slots__ = (
        *("values", "kind", "epoch", "lsn", "txid", "last_commit_lsn", "offset", "commit_at", "content_hash", "unchanged", "linked_key"),
        *("old", "is_state", "is_placed", "blank", "is_row", "is_change", "rank", "after_reads", "is_contested"),
        *("unresolved", "origin", "moved_from"),
        *("counts", "starts", "effective_at", "state_at", "head", "is_visible", "valid_to", "to_lsn", "is_last", "is_void"),
    )
    # For a state row, its effective time and the head of its run; for others, set by `versions`.
    state_at: int | None
    head: Head
    # The key under which the row was last visible outside its transaction, and the same if a key change made it differ from its own.
    origin: str | None
    moved_from: str | None
    counts: bool
    starts: bool
    effective_at: int | None
    is_visible: bool
    valid_to: int | None
    to_lsn: int | None
    is_last: bool

    def __init__(self, change: Change, old: Row | None = None) -> None:
        (
            self.values,
            self.kind,
            self.epoch,
            self.lsn,
            self.txid,
            self.last_commit_lsn,
            self.offset,
            self.commit_at,
            self.content_hash,
            self.unchanged,
            self.linked_key,
        ) = change
        self.old = old
        self.is_placed = old is not None
        self.is_state = False
        self.blank = self.unchanged
        kind = self.kind
        self.is_row = kind in _ROWS
        self.is_change = kind != READ
        self.rank = RANK[kind]
        self.after_reads = 0
        self.is_contested = False
        self.unresolved: tuple[str, ...] = ()
        self.moved_from = self.state_at = None
        self.is_void = False

    @property
    def is_moved_in(self) -> bool:
        """Whether a key change moved the row to this key."""
        return self.linked_key is not None and self.kind == UPSERT

    def is_same_transaction(self, other: Step) -> bool:
        """Whether both belong to one transaction; a read belongs to none."""
        return self.is_change and other.is_change and self.txid is not None and self.txid == other.txid and self.epoch == other.epoch


class Steps:
    """Converts the rows and changes of one table to steps."""

    def __init__(self, form: Form) -> None:
        self.form = form
        width, place = form.declared, form.place
        self._width = width
        self._hash = place["_content_hash"]
        self._state_places = [place[name] for name in ("_unresolved", "_effective_at", "_valid_from", "_from_lsn", "_previous_key")]

    def of_stored(self, row: Row) -> Step:
        """A stored row, where all stored rows of its key are known."""
        width, content = self._width, self._hash
        return Step(cast(Change, (row[:width], *row[width : content - 1], *row[content : content + 3])), row)

    def of_newest(self, row: Row) -> Step:
        """The newest stored row of a key, in place of all of them: values it could not resolve stay unknown."""
        step = self.of_stored(row)
        step.is_state = True
        step.blank, step.state_at, valid_from, from_lsn, previous_key = (row[place] for place in self._state_places)
        step.head = valid_from, from_lsn, previous_key
        return step

    def of_truncate(self, truncate: Truncate, key: Key, *, is_new: bool) -> Step:
        """A truncate of the table as a change of one key."""
        place = (truncate.epoch, truncate.lsn, truncate.txid, None, truncate.offset, truncate.commit_us)
        step = Step(Change(self.form.with_key_alone(key), TRUNCATE, *place, TRUNCATE, (), None))
        step.is_placed = not is_new
        return step

    def implied_delete(self, change: Change) -> Change | None:
        """The delete of the old key that is implied by the upsert of a key change; None for other changes.

        It has the identity of the real delete, which replaces it when it arrives: its content hash is empty and its offset unknown.
        """
        if change.linked_key is None or change.kind != UPSERT:
            return None
        form = self.form
        values = form.with_key_alone(form.key_of_json(change.linked_key))
        own = form.key_json(form.key_of(change.values))
        return change._replace(values=values, kind=DELETE, offset=None, content_hash="", unchanged=(), linked_key=own)
