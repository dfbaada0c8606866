"""Whom the lake has forgotten, as far as a light run has to know: the list, and whether a batch holds anything of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lakehouse import ledger, tables
from lakehouse.transforms.records import keys

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.lake.lake import Lake
    from lakehouse.transforms.records.envelope import Decoded, Decoder

# Forgotten keys by source table, each a JSON object.
Forgotten = Mapping[str, frozenset[str]]


def forgotten(lake: Lake, table: Table) -> Forgotten:
    """The forgotten keys of a source table and of the tables of persons it refers to; empty where there is none."""
    names = sorted({table.name, *(column.person for column in table.person_columns if column.person)})
    rows = lake.read(ledger.ERASURES, ("source_table", "key"), {"source_table": names})
    found: dict[str, set[str]] = {}
    for name, key in zip(rows["source_table"].to_pylist(), rows["key"].to_pylist(), strict=True):
        found.setdefault(name, set()).add(key)
    return {name: frozenset(keys) for name, keys in found.items()}


def holds_any(table: Table, decoded: Decoded, decoder: Decoder, known: Forgotten) -> bool:
    """Whether decoded records hold something of the forgotten keys, or name a forgotten person.

    Records that cannot be read count where they might: only a look at their text tells.
    """
    if decoded.faults:
        return True
    own, listed = known.get(table.name, frozenset()), keys.as_listed(table)
    rows = [change.values for change in decoded.changes]
    if own and any(listed(decoder.key_of(row)) in own for row in rows):
        return True
    if own and any(listed(decoder.key_of_tombstone(record)) in own for record in decoded.tombstones):
        return True
    for column in table.person_columns:
        persons = known.get(column.person or "", frozenset())
        if persons:
            place, person = table.column_names.index(column.name), keys.as_listed(tables.source(column.person or ""))
            if any(row[place] is not None and person((row[place],)) in persons for row in rows):
                return True
    return False
