"""Classification of a connector failure by its stack trace: table and column, WAL position, or only the kind."""

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
# Part of Debezium's message when the slot is ahead of the stored offset.
NOT_THERE = "is no longer available on the server"
_CONNECTION = re.compile(r"SQLState: (?:08|57)|Connection|SocketException|EOFException|terminating|shutting down|starting up")


class Kind(Enum):
    """What a trace identifies: a table, a WAL position, an oversized record, a lost slot position, or nothing about a table."""

    TABLE = "table"
    EVENT = "event"
    SIZE = "size"
    POSITION = "position"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One failure; `cause` is one line. TABLE sets `schema`, `table` and, if known, `column`; EVENT sets `lsn`."""

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
    # A connection lost during an event is not caused by a table.
    if event and not _CONNECTION.search(why):
        return Failure(kind=Kind.EVENT, lsn=int(event[1]), cause=why)
    return Failure(kind=Kind.OTHER, cause=why)


def cause(trace: str) -> str:
    """The innermost specific cause of a Java stack trace, as one line without the package name."""
    causes = [line.removeprefix("Caused by: ") for line in trace.splitlines() if line.startswith("Caused by: ")]
    # java.lang exceptions do not name the object that was read; the enclosing exception does.
    specific = [line for line in causes if not line.startswith("java.lang.")] or causes
    line = specific[-1] if specific else trace.partition("\n")[0]
    # A conversion error continues with the whole row.
    return re.sub(r"^(?:[a-z0-9_]+\.)+(?=[A-Z])", "", line.split(" for row ")[0])[:300]
