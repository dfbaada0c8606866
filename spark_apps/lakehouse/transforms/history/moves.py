"""Primary-key changes: a delete of the old key and an upsert of the new key at one position, each naming the other key.

The two records arrive separately and in any order, so the upsert alone implies the delete. The row continues under the new key: unchanged
values are inherited from the old key, and the new version records the previous key that was visible outside the transaction. Intermediate
keys within a transaction are not recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lakehouse.transforms.history import links
from lakehouse.transforms.history.form import Form, Key
from lakehouse.transforms.history.inheritance import resolve
from lakehouse.transforms.history.steps import Step
from lakehouse.transforms.records.changes import DELETE


class _Chain:
    """The ordered changes of one key, resolved up to `reached`."""

    __slots__ = ("deletes", "is_waiting", "name", "reached", "steps")

    def __init__(self, form: Form, key: Key, steps: list[Step]) -> None:
        self.name = form.key_json(key)
        self.steps = steps
        self.reached = 0
        self.is_waiting = False
        self.deletes = {(step.epoch, step.lsn): place for place, step in enumerate(steps) if step.kind == DELETE and step.linked_key}


def resolve_linked(form: Form, by_key: dict[Key, list[Step]]) -> None:
    """Resolve the ordered changes of keys linked by key changes, and set `moved_from`."""
    chains = {key: _Chain(form, key, steps) for key, steps in by_key.items()}
    for chain in chains.values():
        _resolve_chain(form, chains, chain)


def _resolve_chain(form: Form, chains: dict[Key, _Chain], chain: _Chain) -> None:
    """Resolve a chain, and before each row that moved in, the part of the chain it moved from."""
    pending = [(chain, len(chain.steps))]
    while pending:
        chain, end = pending[-1]
        if chain.reached >= end:
            chain.is_waiting = False
            pending.pop()
            continue
        step = chain.steps[chain.reached]
        other, place = _moved_from_chain(form, chains, chain, step) if step.is_moved_in else (None, 0)
        # The WAL contains no cycle of moves. If the records form one, the row is treated as having no predecessor.
        if other is not None and other.reached < place and not other.is_waiting and other is not chain:
            chain.is_waiting = True
            pending.append((other, place))
            continue
        is_known = other is not None and other.reached >= place
        _resolve_step(form, chain, step, other if is_known else None, place)
        chain.reached += 1


def _moved_from_chain(form: Form, chains: dict[Key, _Chain], chain: _Chain, step: Step) -> tuple[_Chain | None, int]:
    """The chain of the row's old key, and the position of the delete by which the row left it; (None, 0) if unknown."""
    other = chains.get(form.key_of_json(step.linked_key or ""))
    place = None if other is None else other.deletes.get((step.epoch, step.lsn))
    if other is None or place is None or other.steps[place].linked_key != chain.name:
        return None, 0
    return other, place


def _resolve_step(form: Form, chain: _Chain, step: Step, other: _Chain | None, place: int) -> None:
    """Resolve one step: its values, its `origin`, and `moved_from` where that differs from its own key."""
    before = chain.steps[chain.reached - 1] if chain.reached else None
    follows_row = before is not None and before.is_row
    if step.is_moved_in:
        left = other.steps[place - 1] if other is not None and place else None
        left = left if left is not None and left.is_row else None
        if step.blank:
            resolve(form, step, left)
        step.origin = step.linked_key
        if left is not None and other is not None:
            step.origin = left.origin if left.is_same_transaction(other.steps[place]) else other.name
    else:
        if step.blank and step.is_row:
            resolve(form, step, before if follows_row else None)
        if not (step.is_row and before is not None and follows_row):
            step.origin = None
        else:
            step.origin = before.origin if before.is_same_transaction(step) else chain.name
    step.moved_from = step.origin if step.is_row and step.origin != chain.name else None


def linked_groups(form: Form, by_key: dict[Key, list[Step]]) -> Iterator[dict[Key, list[Step]]]:
    """The keys in groups linked by key changes, directly or transitively; each key has a step of a key change."""
    pairs = [(key, other) for key, steps in by_key.items() for other in linked_keys(form, steps)]
    for group in links.components(pairs):
        yield {key: by_key[key] for key in group if key in by_key}


def linked_keys(form: Form, steps: Iterable[Step]) -> set[Key]:
    """The other keys of the key changes among the steps."""
    return {form.key_of_json(step.linked_key) for step in steps if step.linked_key is not None}
