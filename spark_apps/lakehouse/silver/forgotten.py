"""The check of a refine in process whether a batch holds any forgotten keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lakehouse import tables
from lakehouse.errors import TooLargeError
from lakehouse.transforms.records import erasing

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.lake.forgotten import Forgotten
    from lakehouse.transforms.records.envelope import Decoded, Decoder
    from lakehouse.transforms.records.received import Record


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
