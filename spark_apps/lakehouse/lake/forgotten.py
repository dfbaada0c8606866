"""The list of forgotten keys, read in process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lakehouse import platform_tables

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.lake.lake import Lake

# Forgotten keys by source table, each a JSON object.
Forgotten = Mapping[str, frozenset[str]]


def forgotten(lake: Lake, table: Table) -> Forgotten:
    """The forgotten keys of a table and of the tables of persons it refers to; empty if there are none."""
    names = sorted({table.name, *(column.person for column in table.person_columns if column.person)})
    rows = lake.read(platform_tables.ERASURES, ("source_table", "key"), {"source_table": names})
    found: dict[str, set[str]] = {}
    for name, key in zip(rows["source_table"].to_pylist(), rows["key"].to_pylist(), strict=True):
        found.setdefault(name, set()).add(key)
    return {name: frozenset(keys) for name, keys in found.items()}
