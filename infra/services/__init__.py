"""Declaration of the services and the one-shot steps between them, one file per server.

`infra/local` runs them as processes of this machine, `infra/docker` generates `docker-compose.yaml` from them. Every module here with
`STEPS` is part of it; the order is derived from each step's `after`.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter

from infra.services.step import OneShot, Service, Step
from lakehouse.errors import EbapError
from lakehouse.settings import Settings

__all__ = ["OneShot", "Service", "Step", "declared", "in_order", "needed", "service", "services", "steps", "waves"]


@cache
def declared() -> tuple[Step, ...]:
    """Every step, independent of the settings, in order of dependency."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return in_order([step for module in modules for step in getattr(module, "STEPS", ())])


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, each behind its dependencies.

    Raises ValueError for a duplicate or unknown name, and its subclass graphlib.CycleError for a cycle.
    """
    named = {step.name: step for step in steps}
    twice = sorted(name for name, count in Counter(step.name for step in steps).items() if count > 1)
    unknown = sorted({f"{step.name} comes after {name}" for step in steps for name in step.after if name not in named})
    if twice or unknown:
        raise ValueError(f"steps are declared wrong: {'; '.join([*(f'{name} is declared twice' for name in twice), *unknown])}")
    return tuple(named[name] for wave in waves({name: step.after for name, step in named.items()}) for name in wave)


def steps(settings: Settings) -> list[Step]:
    """The steps that these settings run; each `after` is reduced to them."""
    chosen = [step for step in declared() if step.is_wanted(settings) and (settings.is_live or not step.is_live)]
    names = {step.name for step in chosen}
    return [dataclasses.replace(step, after=tuple(name for name in step.after if name in names)) for step in chosen]


def needed(settings: Settings, names: Iterable[str]) -> list[Step]:
    """The named steps and all their dependencies; EbapError for an unknown name."""
    known = {step.name: step for step in steps(settings)}
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in known:
            raise EbapError(f"there is no service or step {name!r}", f"it is one of {', '.join(known)}")
        if name not in wanted:
            wanted.add(name)
            waiting += known[name].after
    return [step for step in known.values() if step.name in wanted]


def services(settings: Settings) -> list[Service]:
    """The long-running services, in order."""
    return [step for step in steps(settings) if isinstance(step, Service)]


def service(settings: Settings, name: str) -> Service:
    """The service of that name; EbapError for an unknown name."""
    found = {service.name: service for service in services(settings)}
    if name not in found:
        raise EbapError(f"there is no service {name!r}", f"it is one of {', '.join(found)}")
    return found[name]


def waves(after: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """The names in groups, each of which depends only on the groups before it; within a group in the given order."""
    sorter = TopologicalSorter(after)
    sorter.prepare()
    found = []
    places = {name: place for place, name in enumerate(after)}
    while sorter.is_active():
        ready = sorter.get_ready()
        sorter.done(*ready)
        found.append(tuple(sorted((name for name in ready if name in places), key=places.__getitem__)))
    return found
