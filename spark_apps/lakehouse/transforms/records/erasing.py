"""What a record's text tells of persons, and what is left of it once they are forgotten, whether or not it can be read.

A row of a table of persons goes. A row of another table stays, as nobody's: `Table.erased`, its personal columns and those that name
a person, is NULL in every change of its key, whoever the change itself names. Keys are JSON objects as `keys.as_listed` writes them.
"""

from __future__ import annotations

import re

from lakehouse.contract import Column, Table
from lakehouse.transforms.records import keys
from lakehouse.transforms.records.json_text import first, text_of
from lakehouse.transforms.records.values import reader

# Stands for the hash of what was received, by which the values could be guessed. Changes of a forgotten key never contradict.
ERASED = "erased"
# A JSON string up to the quote that no odd number of backslashes precedes, or to the end of a torn text; or another plain value.
_VALUE = rb'(?:"[\s\S]*?(?<!\\)(?:\\\\)*(?:"|\Z)|[^",}\]\s]+)'


def key_of_record(table: Table, key: bytes | None, value: bytes | None) -> str:
    """The listed key of a record: from its key's bytes or, where they cannot be read, from the first place where its value names it."""
    told = _members(key)
    parts = []
    for name in table.key:
        text = told.get(name)
        if text is None:
            match = re.search(_naming(name), value or b"")
            text = match[1].decode(errors="replace") if match else None
        parts.append(None if text is None else reader(table.column(name).type)(text))
    return keys.as_listed(table)(tuple(parts))


def persons_of_record(column: Column, person: Table, value: bytes | None) -> list[str]:
    """Listed keys of all persons that a record's value names in that column, `{}` for one that cannot be read."""
    read, listed = reader(column.type), keys.as_listed(person)
    return [listed((read(text.decode(errors="replace")),)) for text in re.findall(_naming(column.name), value or b"")]


def blanked_value(table: Table, value: bytes) -> bytes:
    """A record's value with `null` in place of each erased column; every other byte is as it was."""
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


def _naming(name: str) -> bytes:
    return rb'"' + name.encode() + rb'"\s*:\s*"?([^",}\s]+)'
