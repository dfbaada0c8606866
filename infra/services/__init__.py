"""The one declaration of what runs: services and the one-shot steps between them, one file per server.

`infra/local` runs it as processes of this machine, `infra/docker` writes it down as `docker-compose.yaml`. Every module here with `STEPS`
is part of it; its order follows from what each step comes `after`.
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
    """Every step, whatever the settings, those first that others come after."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return in_order([step for module in modules for step in getattr(module, "STEPS", ())])


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, each behind those that it comes after.

    Raises ValueError for a name that is given twice or is none, graphlib.CycleError (one too) where steps wait for each other.
    """
    named = {step.name: step for step in steps}
    twice = sorted(name for name, count in Counter(step.name for step in steps).items() if count > 1)
    unknown = sorted({f"{step.name} comes after {name}" for step in steps for name in step.after if name not in named})
    if twice or unknown:
        raise ValueError(f"steps are declared wrong: {'; '.join([*(f'{name} is declared twice' for name in twice), *unknown])}")
    return tuple(named[name] for wave in waves({name: step.after for name, step in named.items()}) for name in wave)


def steps(settings: Settings) -> list[Step]:
    """All that this configuration runs; a step comes after those of its `after` that are among them."""
    chosen = [step for step in declared() if step.is_wanted(settings)]
    names = {step.name for step in chosen}
    return [dataclasses.replace(step, after=tuple(name for name in step.after if name in names)) for step in chosen]


def needed(settings: Settings, names: Iterable[str]) -> list[Step]:
    """The named steps and all that they come after; EbapError names the steps there are."""
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
    """The long-running ones, in their order."""
    return [step for step in steps(settings) if isinstance(step, Service)]


def service(settings: Settings, name: str) -> Service:
    """The service of that name; EbapError names those there are."""
    found = {service.name: service for service in services(settings)}
    if name not in found:
        raise EbapError(f"there is no service {name!r}", f"it is one of {', '.join(found)}")
    return found[name]


def waves(after: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """The names in groups, each of which comes only after those before it; within a group in the order given."""
    sorter = TopologicalSorter(after)
    sorter.prepare()
    found = []
    places = {name: place for place, name in enumerate(after)}
    while sorter.is_active():
        ready = sorter.get_ready()
        sorter.done(*ready)
        found.append(tuple(sorted((name for name in ready if name in places), key=places.__getitem__)))
    return found
