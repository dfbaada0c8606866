"""All declared tables, one file each; a new file in this folder is a new table everywhere.

Each module holds one `TABLE`, named after its file. `SOURCES` are captured from Postgres; `GOLD` is made from them, `LIVE` is filled
from the topics of events; both are listed so that every table comes after its inputs.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from lakehouse import platform_tables
from lakehouse.contract import History, Layer, Table
from lakehouse.errors import ContractError, EbapError


def _discover() -> dict[str, Table]:
    found = {}
    for module in pkgutil.iter_modules(__path__):
        table = importlib.import_module(f"{__name__}.{module.name}").TABLE
        if table.name != module.name:
            raise ContractError(f"tables/{module.name}.py declares a table named {table.name!r}", "name the file after the table")
        found[table.name] = table
    return found


def names_made(table: Table) -> tuple[str, ...]:
    """Full names of the tables, views and topics that are made for a declared table."""
    if table.history is None:
        return (table.full_name, *([f"topic {table.topic}"] if table.topic else []))
    history = (f"silver.{table.name}_history",) if table.history is History.FULL else ()
    stored = platform_tables.stored(table).full_name
    return (f"bronze.{table.name}", table.full_name, *history, stored, f"topic {platform_tables.topic(table.name)}")


def refuse_shared_names(declared: Iterable[Table]) -> None:
    """Raise ContractError where two tables would be one, or one would be the platform's own; names every such table with its cure."""
    topics = [f"topic {platform_tables.topic(name)}" for name in (platform_tables.HEARTBEAT, platform_tables.SIGNAL)]
    own = [*(table.full_name for table in platform_tables.PLATFORM), platform_tables.STATE, *topics]
    makers = dict.fromkeys(own, "the platform's own")
    faults = []
    for table in declared:
        cure = "rename the table at the source, or do not capture it" if table.history else "give the table another name"
        faults += [f"table {table.name!r}: {name} is {makers[name]}: {cure}" for name in names_made(table) if name in makers]
        makers |= {name: f"made for table {table.name!r} already" for name in names_made(table) if name not in makers}
    if faults:
        raise ContractError("; ".join(faults))


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
refuse_shared_names(_ALL)
SOURCES: tuple[Table, ...] = tuple(sorted((t for t in _ALL if t.history), key=lambda t: t.name))
GOLD: tuple[Table, ...] = tuple(table for table in _ALL if table.layer is Layer.GOLD)
LIVE: tuple[Table, ...] = tuple(table for table in _ALL if table.layer is Layer.LIVE)


def source(name: str) -> Table:
    """The source table of that name; raises EbapError with the names there are."""
    return _one(SOURCES, name, "source table")


def gold(name: str) -> Table:
    """The gold table of that name; raises EbapError with the names there are."""
    return _one(GOLD, name, "gold table")


def live(name: str) -> Table:
    """The live table of that name; raises EbapError with the names there are."""
    return _one(LIVE, name, "live table")


def _one(tables: tuple[Table, ...], name: str, what: str) -> Table:
    for table in tables:
        if table.name == name:
            return table
    raise EbapError(f"there is no {what} {name!r}", f"the declared ones are {', '.join(t.name for t in tables)}")
