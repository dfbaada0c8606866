"""Primary-key changes: a delete of the old key and an upsert of the new one at one position, each naming the other.

The two halves travel apart and come in any order, so that the upsert's word is enough: it tells of a delete that may not have come
yet. The row keeps its life across keys: a value that the upsert left unchanged is the old key's, and a version that a key change made
names the last key under which others saw the row. Within a transaction only where a row was before and where it ends counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lakehouse.transforms.history import links
from lakehouse.transforms.history.form import Form, Key
from lakehouse.transforms.history.inheritance import resolve
from lakehouse.transforms.history.steps import Step
from lakehouse.transforms.records.changes import DELETE


class _Chain:
    """One key's changes in order, resolved up to `reached`."""

    __slots__ = ("deletes", "is_waiting", "name", "reached", "steps")

    def __init__(self, form: Form, key: Key, steps: list[Step]) -> None:
        self.name = form.key_json(key)
        self.steps = steps
        self.reached = 0
        self.is_waiting = False
        self.deletes = {(step.epoch, step.lsn): place for place, step in enumerate(steps) if step.kind == DELETE and step.linked_key}


def across(form: Form, by_key: dict[Key, list[Step]]) -> None:
    """Resolve the changes of keys that key changes link, each key's in order; sets `moved_from` too."""
    chains = {key: _Chain(form, key, steps) for key, steps in by_key.items()}
    for chain in chains.values():
        _reach(form, chains, chain)


def _reach(form: Form, chains: dict[Key, _Chain], chain: _Chain) -> None:
    """Resolve all of a chain, and before each row that moved in, what it needs of the chain it left."""
    pending = [(chain, len(chain.steps))]
    while pending:
        chain, end = pending[-1]
        if chain.reached >= end:
            chain.is_waiting = False
            pending.pop()
            continue
        step = chain.steps[chain.reached]
        other, place = _left(form, chains, chain, step) if step.is_moved_in else (None, 0)
        # A log holds no circle of moves. Records that tell of one, and no log wrote, are taken to come from nowhere.
        if other is not None and other.reached < place and not other.is_waiting and other is not chain:
            chain.is_waiting = True
            pending.append((other, place))
            continue
        is_known = other is not None and other.reached >= place
        _settle(form, chain, step, other if is_known else None, place)
        chain.reached += 1


def _left(form: Form, chains: dict[Key, _Chain], chain: _Chain, step: Step) -> tuple[_Chain | None, int]:
    """The chain of the row's old key, and the place of the delete by which it left that for this one."""
    other = chains.get(form.key_of_json(step.linked_key or ""))
    place = None if other is None else other.deletes.get((step.epoch, step.lsn))
    if other is None or place is None or other.steps[place].linked_key != chain.name:
        return None, 0
    return other, place


def _settle(form: Form, chain: _Chain, step: Step, other: _Chain | None, place: int) -> None:
    """Resolve one step: its values, the key under which others last saw the row, and the same where it is another than its own."""
    before = chain.steps[chain.reached - 1] if chain.reached else None
    met_a_row = before is not None and before.is_row
    if step.is_moved_in:
        left = other.steps[place - 1] if other is not None and place else None
        left = left if left is not None and left.is_row else None
        if step.blank:
            resolve(form, step, left)
        step.origin = step.linked_key
        if left is not None and other is not None:
            step.origin = left.origin if left.is_with(other.steps[place]) else other.name
    else:
        if step.blank and step.is_row:
            resolve(form, step, before if met_a_row else None)
        if not (step.is_row and before is not None and met_a_row):
            step.origin = None
        else:
            step.origin = before.origin if before.is_with(step) else chain.name
    step.moved_from = step.origin if step.is_row and step.origin != chain.name else None


def linked_groups(form: Form, by_key: dict[Key, list[Step]]) -> Iterator[dict[Key, list[Step]]]:
    """The keys in groups that key changes link, directly or through others; of each key some step is a key change's."""
    pairs = [(key, other) for key, steps in by_key.items() for other in linked_keys(form, steps)]
    for group in links.components(pairs):
        yield {key: by_key[key] for key in group if key in by_key}


def linked_keys(form: Form, steps: Iterable[Step]) -> set[Key]:
    """The other keys of the key changes among them."""
    return {form.key_of_json(step.linked_key) for step in steps if step.linked_key is not None}
