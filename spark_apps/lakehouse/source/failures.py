"""Cause of a connector failure by its stack trace: table and column, a position in the source's log, or only the kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

# `shop.products.embedding`: names that contain a dot or a quote are not supported here.
_VALUE = re.compile(r"Failed to properly convert (?:data|key) value for '([^.']+)\.([^.']+)\.([^']+)'")
_EVENT = re.compile(r"Error while processing event at offset \{[^}]*\blsn=(\d+)")
_SNAPSHOT = re.compile(r"Snapshotting of table ([^. ]+)\.(\S+) failed")
_SAME_NAME = re.compile(r"Table '([^.']+)\.([^']+)' has columns that differ only by case\. Column name: '([^']+)'")
_TOO_LARGE = ("RecordTooLargeException", "RecordBatchTooLargeException", "OutOfMemoryError")
# How Debezium says, at great length, that the slot stands beyond the stored offset.
NOT_THERE = "is no longer available on the server"
_CONNECTION = re.compile(r"SQLState: (?:08|57)|Connection|SocketException|EOFException|terminating|shutting down|starting up")


class Kind(Enum):
    """What a trace says: a table by name, a place in the log, a size, a position that is gone, or nothing that a table is to blame for."""

    TABLE = "table"
    EVENT = "event"
    SIZE = "size"
    POSITION = "position"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One failure; `cause` is one line. `schema`, `table` and `column` are known for TABLE (the column not always), `lsn` for EVENT."""

    kind: Kind
    cause: str
    schema: str | None = None
    table: str | None = None
    column: str | None = None
    lsn: int | None = None


def of(trace: str) -> Failure:
    """The failure that a stack trace describes."""
    why = cause(trace)
    if NOT_THERE in trace:
        return Failure(kind=Kind.POSITION, cause=why)
    for pattern in (_VALUE, _SAME_NAME, _SNAPSHOT):
        found = pattern.search(trace)
        if found:
            schema, table, *column = found.groups()
            return Failure(kind=Kind.TABLE, schema=schema, table=table, column=column[0] if column else None, cause=why)
    if any(word in trace for word in _TOO_LARGE):
        return Failure(kind=Kind.SIZE, cause=why)
    event = _EVENT.search(trace)
    # A Postgres that went away in the midst of an event is none of a table's fault.
    if event and not _CONNECTION.search(why):
        return Failure(kind=Kind.EVENT, lsn=int(event[1]), cause=why)
    return Failure(kind=Kind.OTHER, cause=why)


def cause(trace: str) -> str:
    """The innermost specific cause of a Java stack trace, one line without the class's packages."""
    causes = [line.removeprefix("Caused by: ") for line in trace.splitlines() if line.startswith("Caused by: ")]
    # Java's own exceptions name neither what was read nor by whom; the one around them does.
    specific = [line for line in causes if not line.startswith("java.lang.")] or causes
    line = specific[-1] if specific else trace.partition("\n")[0]
    # What follows in the same line of a conversion's error is the row itself.
    return re.sub(r"^(?:[a-z0-9_]+\.)+(?=[A-Z])", "", line.split(" for row ")[0])[:300]
