"""Faults of records: the reasons of quarantine and their details."""

from __future__ import annotations

from typing import NamedTuple

_SHOWN_CHARACTERS = 80


class Reason(NamedTuple):
    """A quarantine reason and its detail."""

    reason: str
    detail: str


EMPTY = Reason("empty", "the value has no bytes; a tombstone has no value")
NOT_UTF8 = Reason("not_utf8", "the key or the value is not UTF-8")
NOT_JSON = Reason("not_json", "the value is not one JSON object without repeated keys")


def shown(text: str) -> str:
    """A text, truncated for a message."""
    return text[:_SHOWN_CHARACTERS]


def no_op(op: str | None) -> Reason:
    return Reason("no_op", f"op is {'missing' if op is None else shown(op)}")


def wrong_table(schema: str | None, table: str | None) -> Reason:
    return Reason("wrong_table", f"the payload is of table {shown('.'.join(part for part in (schema, table) if part is not None))}")


def null_key(op: str) -> Reason:
    return Reason("null_key", f"op {op} without a key")


def no_position(epoch: int | None, lsn: int | None, commit_at: int | None) -> Reason:
    required = {"no epoch header": epoch, "no source.lsn": lsn, "no source.ts_us before the year 10000": commit_at}
    return Reason("no_position", ", ".join(what for what, value in required.items() if value is None))


def lost_key(key: tuple[str, ...]) -> Reason:
    return Reason("bad_value", f"after: lacks a key column ({', '.join(key)})")


def lost_link(text: str) -> Reason:
    return Reason("bad_value", f"header: '{shown(text)}' is no key of this table")


def misfit(column: str, text: str, type_: str) -> str:
    return f"{column}: '{shown(text)}' is not a {type_}"


def keyless(column: str) -> str:
    return f"{column}: a key column needs a value"


def bad_value(misfits: list[str]) -> Reason:
    return Reason("bad_value", "; ".join(misfits))


def refused(expectations: tuple[str, ...]) -> Reason:
    return Reason("refused", ", ".join(expectations))
