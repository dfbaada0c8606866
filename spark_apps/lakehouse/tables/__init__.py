"""All declared tables, one file each; a new file in this folder is a new table everywhere.

Each module holds one `TABLE`, named after its file. `SOURCES` are captured from Postgres; `GOLD` is made from them, listed so
that every table comes after its inputs.
"""

from __future__ import annotations

import importlib
import pkgutil
from graphlib import CycleError, TopologicalSorter

from lakehouse.contract import Layer, Table
from lakehouse.errors import ContractError, EbapError


def _discover() -> dict[str, Table]:
    found = {}
    for module in pkgutil.iter_modules(__path__):
        table = importlib.import_module(f"{__name__}.{module.name}").TABLE
        if table.name != module.name:
            raise ContractError(f"tables/{module.name}.py declares a table named {table.name!r}", "name the file after the table")
        found[table.name] = table
    return found


def _in_order_of_inputs(tables: dict[str, Table]) -> tuple[Table, ...]:
    for table in tables.values():
        for name in table.inputs:
            if name not in tables:
                raise ContractError(f"table {table.name!r} reads {name!r}, which is not declared")
        for column in table.person_columns:
            person = tables.get(column.person or "")
            if person is None or not person.is_of_persons or person.column(person.key[0]).type != column.type:
                raise ContractError(
                    f"table {table.name!r}: column {column.name!r} names a person of {column.person!r}, which is no table of persons "
                    f"with a key of type {column.type}"
                )
    try:
        order = TopologicalSorter({name: sorted(table.inputs) for name, table in sorted(tables.items())}).static_order()
        return tuple(tables[name] for name in order)
    except CycleError as error:
        raise ContractError(f"gold tables read each other in a circle: {' -> '.join(error.args[1])}") from error


_ALL = _in_order_of_inputs(_discover())
SOURCES: tuple[Table, ...] = tuple(sorted((t for t in _ALL if t.history), key=lambda t: t.name))
GOLD: tuple[Table, ...] = tuple(table for table in _ALL if table.layer is Layer.GOLD)


def source(name: str) -> Table:
    """The source table of that name; raises EbapError with the names there are."""
    return _one(SOURCES, name, "source table")


def gold(name: str) -> Table:
    """The gold table of that name; raises EbapError with the names there are."""
    return _one(GOLD, name, "gold table")


def _one(tables: tuple[Table, ...], name: str, what: str) -> Table:
    for table in tables:
        if table.name == name:
            return table
    raise EbapError(f"there is no {what} {name!r}", f"the declared ones are {', '.join(t.name for t in tables)}")
