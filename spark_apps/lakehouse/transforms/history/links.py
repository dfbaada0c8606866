"""Transitive links between keys: the keys that key changes link, directly or transitively."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import chain
from typing import TypeVar

Named = TypeVar("Named", bound=Hashable)


def closure(start: Iterable[Named], linked_with: Callable[[set[Named]], Iterable[Named]]) -> set[Named]:
    """The start and everything linked to it; `linked_with` returns the names linked with the given ones, and gets each name once."""
    reached = set(start)
    fresh = set(reached)
    while fresh:
        fresh = set(linked_with(fresh)) - reached
        reached |= fresh
    return reached


def components(pairs: Iterable[tuple[Named, Named]]) -> Iterator[set[Named]]:
    """The connected components of these links; each name is in exactly one."""
    neighbours: dict[Named, set[Named]] = {}
    for one, other in pairs:
        neighbours.setdefault(one, set()).add(other)
        neighbours.setdefault(other, set()).add(one)
    seen: set[Named] = set()
    for name in neighbours:
        if name not in seen:
            found = closure((name,), lambda names: chain.from_iterable(neighbours[each] for each in names))
            seen |= found
            yield found
