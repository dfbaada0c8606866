"""Erasure of a forgotten person from decoded records and stored rows.

A row of a table of persons is removed. A row of another table stays without its `Table.erased` columns (personal data and references to a
person): they are None in every change of the row's key, whichever person a change refers to. Keys are JSON objects as `keys.as_json` writes
them; unreadable records are matched by their text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lakehouse.contract import Column, Table
from lakehouse.transforms.records import keys
from lakehouse.transforms.records.changes import Change, Decoded, Fault
from lakehouse.transforms.records.envelope import Decoder
from lakehouse.transforms.records.json_text import first, text_of
from lakehouse.transforms.records.received import Record
from lakehouse.transforms.records.values import reader

# Replaces the content hash, from which the values could be guessed. Changes of a forgotten key are never contested.
ERASED = "erased"
# A JSON string up to its closing quote (one after an even number of backslashes), or to the end of truncated text; or another scalar.
_VALUE = rb'(?:"[\s\S]*?(?<!\\)(?:\\\\)*(?:"|\Z)|[^",}\]\s]+)'


class Eraser:
    """Removes forgotten keys from decoded records of one table."""

    def __init__(self, decoder: Decoder, forgotten: Collection[str]) -> None:
        self.table, self._decoder, self._forgotten = decoder.table, decoder, frozenset(forgotten)
        self._listed = keys.as_json(self.table)
        self._erased = [self.table.column_names.index(name) for name in self.table.erased]

    def without_forgotten(self, decoded: Decoded) -> Decoded:
        """The records without data of forgotten keys, quarantined ones included."""
        if self.table.is_of_persons:
            return replace(
                decoded,
                changes=[change for change in decoded.changes if not self._is_forgotten(change.values)],
                faults=[fault for fault in decoded.faults if not self._is_forgotten_record(fault.record)],
                tombstones=[record for record in decoded.tombstones if not self._is_forgotten_tombstone(record)],
            )
        return replace(
            decoded,
            changes=[self._blanked(change) if self._is_forgotten(change.values) else change for change in decoded.changes],
            faults=[self._blanked_fault(fault) if self._is_forgotten_record(fault.record) else fault for fault in decoded.faults],
        )

    def first_offset(self, decoded: Decoded, records: Mapping[tuple[str, int, int], Record] | None = None) -> int | None:
        """The smallest offset of records that hold data of forgotten keys; None if there is none.

        For tables that are not of persons, the values of good records are inspected: `records` by topic, partition and offset.
        """
        return min(self._offsets(decoded, records or {}), default=None)

    def _offsets(self, decoded: Decoded, records: Mapping[tuple[str, int, int], Record]) -> Iterator[int]:
        is_whole = self.table.is_of_persons
        if is_whole:
            yield from (change.offset for change in decoded.changes if change.offset is not None and self._is_forgotten(change.values))
            yield from (record.offset for record in decoded.tombstones if self._is_forgotten_tombstone(record))
        else:
            forgotten = {change.offset for change in decoded.changes if self._is_forgotten(change.values)}
            yield from (record.offset for record in records.values() if record.offset in forgotten and self._holds(record.value))
        for fault in decoded.faults:
            if self._is_forgotten_record(fault.record) and (is_whole or self._holds(fault.record.value)):
                yield fault.record.offset

    def _holds(self, value: bytes | None) -> bool:
        return value is not None and value != blanked_value(self.table, value)

    def _is_forgotten(self, values: tuple[Any, ...]) -> bool:
        return self._listed(self._decoder.key_of(values)) in self._forgotten

    def _is_forgotten_record(self, record: Record) -> bool:
        return key_of_record(self.table, record.key, record.value) in self._forgotten

    def _is_forgotten_tombstone(self, record: Record) -> bool:
        return self._listed(self._decoder.key_of_tombstone(record)) in self._forgotten

    def _blanked(self, change: Change) -> Change:
        values, unchanged = blanked(self.table, change.values, change.unchanged, self._erased)
        return change._replace(values=values, unchanged=unchanged, content_hash=ERASED)

    def _blanked_fault(self, fault: Fault) -> Fault:
        value = fault.record.value
        record = fault.record._replace(value=None if value is None else blanked_value(self.table, value))
        return replace(fault, record=record, detail=None, values=blanked(self.table, fault.values, (), self._erased)[0])


def blanked(
    table: Table, values: tuple[Any, ...], unchanged: Collection[str], places: Collection[int] | None = None
) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """A row's values with None in its erased columns, and its unchanged columns without them."""
    erased = table.erased
    blank = set(places if places is not None else map(table.column_names.index, erased))
    kept = tuple(None if place in blank else value for place, value in enumerate(values))
    return kept, tuple(name for name in unchanged if name not in erased)


def referring_keys(
    table: Table, decoded: Decoded, forgotten: Mapping[str, Collection[str]], persons: Mapping[str, Table]
) -> frozenset[str]:
    """Listed keys of the records that refer to a forgotten person; `forgotten` and `persons` by the name of the persons' table."""
    key_of, listed = keys.of_values(table), keys.as_json(table)
    found = set()
    for column in table.person_columns:
        known = forgotten.get(column.person or "")
        if not known:
            continue
        place, person_json = table.column_names.index(column.name), keys.as_json(persons[column.person or ""])
        for values in (*(change.values for change in decoded.changes), *(fault.values for fault in decoded.faults)):
            if person_json((values[place],)) in known:
                found.add(listed(key_of(values)))
    return frozenset(found)


def key_of_record(table: Table, key: bytes | None, value: bytes | None) -> str:
    """The listed key of a record: from its key's bytes or, if they cannot be read, from the first match in its value."""
    members = _members(key)
    parts = []
    for name in table.key:
        text = members.get(name)
        if text is None:
            match = re.search(_pattern(name), value or b"")
            text = match[1].decode(errors="replace") if match else None
        parts.append(None if text is None else reader(table.column(name).type)(text))
    return keys.as_json(table)(tuple(parts))


def persons_of_record(column: Column, person: Table, value: bytes | None) -> list[str]:
    """Listed keys of all persons in that column of a record's value; `{}` for one that cannot be read."""
    read, listed = reader(column.type), keys.as_json(person)
    return [listed((read(text.decode(errors="replace")),)) for text in re.findall(_pattern(column.name), value or b"")]


def blanked_value(table: Table, value: bytes) -> bytes:
    """A record's value with `null` in place of each erased column; every other byte is unchanged."""
    if not table.erased:
        return value
    names = "|".join(table.erased).encode()
    return re.sub(rb'("(?:' + names + rb')"\s*:\s*)' + _VALUE, rb"\1null", value)


def _members(key: bytes | None) -> dict[str, str | None]:
    try:
        read = first((key or b"").decode())
    except ValueError:
        return {}
    return {name: text_of(part) for name, part in read.items()} if isinstance(read, dict) else {}


def _pattern(name: str) -> bytes:
    return rb'"' + name.encode() + rb'"\s*:\s*"?([^",}\s]+)'
