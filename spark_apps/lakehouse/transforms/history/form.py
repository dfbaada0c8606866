"""Positions of the columns of a table's stored form; the fold addresses columns by number."""

from __future__ import annotations

from typing import Any

from lakehouse import platform_tables
from lakehouse.contract import Severity, Table
from lakehouse.transforms.records import keys, quality

Row = tuple[Any, ...]
Key = keys.Key

# Columns received with a change, in stored order; `records.changes.Change` has the same without the effective time.
_RECEIVED = ("_kind", "_epoch", "_lsn", "_txid", "_last_commit_lsn", "_offset", "_commit_at")
# All columns after the declared ones, in the order in which `versions.stored` writes them.
_PLATFORM = (
    *_RECEIVED,
    *("_effective_at", "_content_hash", "_unchanged", "_linked_key", "_previous_key", "_unresolved", "_flags"),
    *("_is_blocked", "_is_visible", "_valid_from", "_valid_to", "_from_lsn", "_to_lsn", "_run", "_last"),
)
# Columns that describe only a version's placement; they do not make a row's content newer when they change.
_PLACEMENT = ("_valid_from", "_valid_to", "_from_lsn", "_to_lsn", "_previous_key", "_is_visible", "_is_blocked", "_last", "_run", "_offset")


class Form:
    """The stored form of a source table; `width` is its number of columns, `declared` the number of the table's own."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.stored = platform_tables.stored(table)
        names = self.stored.column_names
        self.declared = len(table.columns)
        self.width = len(names)
        if names[self.declared :] != _PLATFORM:
            raise AssertionError(f"the stored form of {table.name} has other columns than the fold writes")
        self.names = table.column_names
        self.place = {name: number for number, name in enumerate(names)}
        self.key_of = keys.of_values(table)
        self.key_places = [self.place[name] for name in table.key]
        # Position and name of each column that is inherited when it is received as unchanged.
        self.valued = [(number, name) for number, name in enumerate(self.names) if name not in table.key]
        self.tracked_of = keys.getter([self.place[name] for name in table.tracked])
        self.content_of = keys.getter([number for number, name in enumerate(names) if name not in _PLACEMENT])
        self.flags_of = quality.judge(table, Severity.FLAG)
        self.key_json = keys.as_json(table)
        self.key_of_json = keys.from_json(table)

    def with_key_alone(self, key: Key) -> Row:
        """Values of the declared columns: the key's, and None for all others."""
        values: list[Any] = [None] * self.declared
        for place, value in zip(self.key_places, key, strict=True):
            values[place] = value
        return tuple(values)

    def linked_key(self, row: Row) -> Key | None:
        """The other key of a stored row that was written by a primary-key change; None for other rows."""
        text = row[self.place["_linked_key"]]
        return None if text is None else self.key_of_json(text)
