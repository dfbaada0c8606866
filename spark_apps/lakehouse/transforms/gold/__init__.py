"""Gold tables, each a pure function in a module of its name: a declaration and one file here make a new gold table.

The function's parameter names are its input tables: a source table's name is its live rows, with `_history` behind it every
version, and a gold table's name is that table. Two optional names beside the function keep a run small; without them a run
recomputes everything, which is slow but right:
`SLICED_BY` maps an input to the expression over it that equals the slice, so that only the rows of touched slices are read;
`touched_slices(frames, changes, marks, stored)` tells which slices the changes since the marks can reach.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from lakehouse import tables
from lakehouse.contract import ContractError, History, Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

HISTORY_SUFFIX = "_history"


def transform(table: Table) -> Callable[..., DataFrame]:
    """The function that makes a gold table; raises ContractError where its module lacks it."""
    function = getattr(_module(table), table.name, None)
    if function is None:
        raise ContractError(f"transforms/gold/{table.name}.py has no function {table.name}()")
    return function  # type: ignore[no-any-return]


def parameters(table: Table) -> tuple[str, ...]:
    """Names of the frames the function takes; raises ContractError where they are not the inputs of the declaration."""
    names = tuple(inspect.signature(transform(table)).parameters)
    faults = [f"{name!r} is no input" for name in names if name not in _known(table)]
    read = {name.removesuffix(HISTORY_SUFFIX) for name in names}
    faults += [f"input {name!r} is not read" for name in table.inputs if name not in read]
    if faults:
        raise ContractError(f"gold table {table.name!r}: {'; '.join(faults)}: make its declaration and its function agree")
    return names


def sliced_by(table: Table) -> dict[str, str]:
    """Per input whose rows each belong to one slice: the SQL expression over it that is the slice."""
    return dict(getattr(_module(table), "SLICED_BY", {}))


def touched_slices(table: Table) -> Callable[..., DataFrame] | None:
    """The function that finds the slices a change of silver reaches; None where all have to be recomputed."""
    return getattr(_module(table), "touched_slices", None)


def _known(table: Table) -> set[str]:
    full = {t.name for t in tables.SOURCES if t.history is History.FULL}
    return set(table.inputs) | {f"{name}{HISTORY_SUFFIX}" for name in table.inputs if name in full}


def _module(table: Table) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{table.name}")
    except ModuleNotFoundError as error:
        raise ContractError(f"gold table {table.name!r} has no transform: add transforms/gold/{table.name}.py") from error
