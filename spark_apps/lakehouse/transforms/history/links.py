"""Closure over links: the keys that key changes link, directly or through others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import chain
from typing import TypeVar

Named = TypeVar("Named", bound=Hashable)


def closure(start: Iterable[Named], linked_with: Callable[[set[Named]], Iterable[Named]]) -> set[Named]:
    """The start and all that links lead to from it; `linked_with` gives what some of them are linked with, and is asked once for each."""
    reached = set(start)
    fresh = set(reached)
    while fresh:
        fresh = set(linked_with(fresh)) - reached
        reached |= fresh
    return reached


def components(pairs: Iterable[tuple[Named, Named]]) -> Iterator[set[Named]]:
    """The connected components of these links, each name in exactly one."""
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
