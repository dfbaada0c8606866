"""The fold: the difference that changes make to a table's stored form, or the whole stored form from scratch.

Works on one table and on any number of its keys; keys that key changes link must be passed together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lakehouse.transforms.history import inheritance, links, moves, order, versions
from lakehouse.transforms.history.form import Form, Key, Row
from lakehouse.transforms.history.steps import Step, Steps
from lakehouse.transforms.records.changes import Change, Place
from lakehouse.transforms.records.truncates import Truncate


class Written(NamedTuple):
    """A row of the stored form to write, and the stored row it replaces (the same object as was passed in), or None."""

    row: Row
    old: Row | None


class Contested(NamedTuple):
    """The identity of a change received with differing contents, and the content that was kept."""

    key: Key
    epoch: int
    lsn: int
    kind: str
    content_hash: str


@dataclass(kw_only=True)
class Difference:
    """Result of a fold: `rows` to write, which are new or differ from the stored ones; `late` keys, whose whole histories were read."""

    rows: list[Written] = field(default_factory=list)
    contested: list[Contested] = field(default_factory=list)
    late: frozenset[Key] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """Input of a run for one table, or for some of its keys.

    `run`: value of `_run` for a row whose content or effective time changes. `blocked`: positions of records that wait in quarantine.
    `truncates`: all truncates of the table; `new_truncates`: those not yet applied by a run.
    """

    changes: Sequence[Change]
    run: int
    blocked: Iterable[Place] = ()
    truncates: Sequence[Truncate] = ()
    new_truncates: Collection[Truncate] = ()


def difference(form: Form, incoming: Incoming, newest: Iterable[Row], whole_of: Callable[[Collection[Key]], Iterable[Row]]) -> Difference:
    """The difference that the changes make.

    `newest`: the `_last` rows of the changes' keys and of keys with newly quarantined records; of all keys if there are `new_truncates`.
    `whole_of` returns all stored rows of the given keys. It is called for late keys, and once more for each step of key changes that links
    others with them. Stored rows begin with the form's columns; further columns are ignored.
    """
    fold = _Fold(form, incoming)
    state = {form.key_of(row): row for row in newest}
    arrived = fold.arrived()
    by_key = {key: arrived.get(key, []) + fold.truncates_of(key) for key in arrived.keys() | state.keys()}
    of_newest = fold.steps.of_newest
    late: set[Key] = set()
    newest_steps: dict[Key, Step] = {key: of_newest(row) for key, row in state.items()}
    for key, steps in by_key.items():
        known = newest_steps.get(key)
        if any(not step.is_placed and (order.is_late(step, known) or fold.is_before_known_truncate(step)) for step in steps):
            late.add(key)
    whole = fold.whole(late, by_key, whole_of)
    for key, steps in by_key.items():
        if key not in whole:
            known = newest_steps.get(key)
            fold.add(key, steps if known is None else [known, *steps])
    fold.add_linked({key: rows + (by_key[key] if key in by_key else fold.truncates_of(key)) for key, rows in whole.items()})
    fold.result.late = frozenset(whole)
    return fold.result


def fold_all(form: Form, incoming: Incoming, kept: Iterable[Row] = ()) -> Difference:
    """The whole stored form of the changes' keys, from all of their changes and `kept`, stored changes that `incoming` no longer has.

    Returns every row of these keys, unchanged ones included.
    """
    fold = _Fold(form, incoming, is_full=True)
    by_key = fold.arrived()
    for row in kept:
        by_key.setdefault(form.key_of(row), []).append(fold.steps.of_stored(row))
    fold.add_linked({key: steps + fold.truncates_of(key) for key, steps in by_key.items()})
    return fold.result


class _Fold:
    """State of one call: converts the input to steps and collects the result."""

    def __init__(self, form: Form, incoming: Incoming, *, is_full: bool = False) -> None:
        self.form, self.incoming, self.is_full = form, incoming, is_full
        self.steps = Steps(form)
        self.result = Difference()
        self._waiting = _waiting(incoming.blocked)
        places = {truncate.place for truncate in incoming.new_truncates}
        self._truncates = [(truncate, truncate.place in places) for truncate in incoming.truncates]
        self._last_known = max((truncate.place for truncate, is_new in self._truncates if not is_new), default=None)

    def is_before_known_truncate(self, step: Step) -> bool:
        """Whether a truncate that an earlier run applied follows the step, so that the newest stored row is not enough state."""
        return self._last_known is not None and (step.epoch, step.lsn) < self._last_known

    def arrived(self) -> dict[Key, list[Step]]:
        """The changes as steps by key, including the deletes implied by key changes."""
        by_key: dict[Key, list[Step]] = {}
        key_of = self.form.key_of
        for change in self.incoming.changes:
            by_key.setdefault(key_of(change.values), []).append(Step(change))
            if change.linked_key is not None:
                delete = self.steps.implied_delete(change)
                if delete is not None:
                    by_key.setdefault(key_of(delete.values), []).append(Step(delete))
        return by_key

    def truncates_of(self, key: Key) -> list[Step]:
        return [self.steps.of_truncate(truncate, key, is_new=is_new) for truncate, is_new in self._truncates]

    def whole(
        self, late: set[Key], by_key: dict[Key, list[Step]], whole_of: Callable[[Collection[Key]], Iterable[Row]]
    ) -> dict[Key, list[Step]]:
        """All stored rows of the late keys and of keys linked to them by key changes, directly or transitively."""
        found: dict[Key, list[Step]] = {}

        def linked_with(keys: set[Key]) -> Iterator[Key]:
            found.update((key, []) for key in keys)
            for row in whole_of(keys):
                found[self.form.key_of(row)].append(self.steps.of_stored(row))
            for key in keys:
                yield from moves.linked_keys(self.form, [*found[key], *by_key.get(key, ())])

        links.closure(late, linked_with)
        return found

    def add_linked(self, by_key: dict[Key, list[Step]]) -> None:
        """Fold keys whose steps are complete."""
        linked = {key: steps for key, steps in by_key.items() if any(step.linked_key is not None for step in steps)}
        for key, steps in by_key.items():
            if key not in linked:
                self.add(key, steps)
        for group in moves.linked_groups(self.form, linked):
            self._add_group(group)

    def _add_group(self, group: dict[Key, list[Step]]) -> None:
        ordered, void = {}, {}
        for key, steps in group.items():
            ordered[key], void[key] = inheritance.effective(order.in_order(steps))
        moves.resolve_linked(self.form, ordered)
        for key, steps in ordered.items():
            versions.make(self.form, steps)
            self._collect(key, steps, void[key])

    def add(self, key: Key, steps: list[Step]) -> None:
        """Fold one key that is not linked by a key change."""
        steps = order.in_order(steps)
        void: list[Step] = []
        if self._truncates:
            steps, void = inheritance.effective(steps)
        inheritance.resolve_unlinked(self.form, steps)
        versions.make(self.form, steps)
        self._collect(key, steps, void)

    def _collect(self, key: Key, steps: list[Step], void: list[Step]) -> None:
        versions.retract(void)
        form, run, result = self.form, self.incoming.run, self.result
        waiting = self._waiting.get(key)
        for step in steps + void if void else steps:
            is_blocked = waiting is not None and step.is_last and step.is_visible and waiting.is_newer_than(step)
            row = versions.stored(form, step, run, is_blocked=is_blocked)
            old = step.old
            if self.is_full or old is None or row != (old if len(old) == form.width else old[: form.width]):
                result.rows.append(Written(row, old))
            if step.is_contested:
                result.contested.append(Contested(key, step.epoch, step.lsn, step.kind, step.content_hash))


@dataclass(slots=True)
class _Waiting:
    """The newest position of a key's quarantined records, and the newest offset of those without a readable position."""

    position: tuple[int, int] | None = None
    offset: int | None = None

    def is_newer_than(self, step: Step) -> bool:
        by_position = self.position is not None and self.position > (step.epoch, step.lsn)
        # Offsets are compared only where the position of the waiting record cannot be read.
        return by_position or (self.offset is not None and step.offset is not None and self.offset > step.offset)


def _waiting(blocked: Iterable[Place]) -> dict[Key, _Waiting]:
    found: dict[Key, _Waiting] = {}
    for key, epoch, lsn, offset in blocked:
        known = found.setdefault(key, _Waiting())
        if epoch is None or lsn is None:
            known.offset = offset if known.offset is None else max(known.offset, offset)
        else:
            known.position = (epoch, lsn) if known.position is None else max(known.position, (epoch, lsn))
    return found
