"""Forgotten keys for a refine in process: the list, and the check whether a batch holds any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lakehouse import platform_tables, tables
from lakehouse.errors import TooLargeError
from lakehouse.transforms.records import erasing

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.lake.lake import Lake
    from lakehouse.transforms.records.envelope import Decoded, Decoder
    from lakehouse.transforms.records.received import Record

# Forgotten keys by source table, each a JSON object.
Forgotten = Mapping[str, frozenset[str]]


def forgotten(lake: Lake, table: Table) -> Forgotten:
    """The forgotten keys of a source table and of the tables of persons it refers to; empty if there are none."""
    names = sorted({table.name, *(column.person for column in table.person_columns if column.person)})
    rows = lake.read(platform_tables.ERASURES, ("source_table", "key"), {"source_table": names})
    found: dict[str, set[str]] = {}
    for name, key in zip(rows["source_table"].to_pylist(), rows["key"].to_pylist(), strict=True):
        found.setdefault(name, set()).add(key)
    return {name: frozenset(keys) for name, keys in found.items()}


def kept_out(table: Table, decoded: Decoded, decoder: Decoder, records: Iterable[Record], known: Forgotten) -> Decoded:
    """The records without data of forgotten keys.

    TooLargeError if bronze must be rewritten: records hold such data, or a row names a forgotten person for the first time.
    """
    own = known.get(table.name, frozenset())
    persons = {name: tables.source(name) for name in known if name != table.name}
    if erasing.referring_keys(table, decoded, known, persons) - own:
        raise TooLargeError(f"{table.full_name}: new records name forgotten people for the first time")
    eraser = erasing.Eraser(decoder, own)
    if eraser.first_offset(decoded, {(record.topic, record.partition, record.offset): record for record in records}) is not None:
        raise TooLargeError(f"{table.full_name}: records of forgotten people landed and must be removed from bronze")
    return eraser.without_forgotten(decoded)
