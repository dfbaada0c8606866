"""Decoding of `bronze.changes` records as changes of one table; unreadable ones get a reason.

A record never raises an error: a value that does not fit, invalid JSON and a record of another table all become faults, with their bytes
and a reason, and do not affect other records. The first reason that applies, in this order: empty, not_utf8, not_json, no_op, wrong_table,
null_key, no_position, bad_value, refused.

A logical message (`m`), like a tombstone, is neither a change nor a fault. A repeated name at the top level or within the row is not_json;
repeated names within `source` are ignored. A JSON number in a text column and a quoted number are both read by their text.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from lakehouse.contract import Severity, Table
from lakehouse.transforms.records import faults, keys, quality, values
from lakehouse.transforms.records.changes import DELETE, MESSAGE, READ, TOMBSTONE, TRUNCATE, UPSERT, Change, Decoded, Fault, Place
from lakehouse.transforms.records.faults import Reason
from lakehouse.transforms.records.json_text import Repeated, first, read, text_of
from lakehouse.transforms.records.received import Record
from lakehouse.transforms.records.received import records as records_of
from lakehouse.transforms.records.truncates import Truncate

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {"r": READ, "c": UPSERT, "u": UPSERT, "d": DELETE, "t": TRUNCATE, "m": MESSAGE}
_ROW_OPS = frozenset("rcu")
_KEYED = frozenset((READ, UPSERT, DELETE))
_LINKED = frozenset((UPSERT, DELETE))

_NEVER_IN_TEXT = "\0"  # Postgres stores no NUL, so it separates columns without ambiguity
_LAST_MICROSECOND = 253_402_300_799_999_999  # of the year 9999, the last one that clients support
_NOTHING: dict[str, Any] = {}


class Decoder:
    """Decodes records of one table; compiles the table's expectations once, so reuse it.

    Without `source_schema` only the table name is compared with the payload's. Raises ContractError for an expectation that cannot be
    compiled.
    """

    def __init__(self, table: Table, placeholders: Sequence[str], source_schema: str | None = None) -> None:
        self.table = table
        self._schema = source_schema
        self._columns = [_Column.of(column.name, column.type, column.name in table.key, placeholders) for column in table.columns]
        self._key_of = keys.of_values(table)
        self._key_readers = [(name, values.reader(table.column(name).type)) for name in table.key]
        self._key_json = keys.as_json(table)
        self._refused = quality.judge(table, Severity.REFUSE)

    def decode(self, records: Iterable[Record]) -> Decoded:
        """The decoded records, by kind and in their order."""
        decoded = Decoded()
        for record in records:
            result = self.one(record)
            if type(result) is Change:
                decoded.changes.append(result)
            elif isinstance(result, Fault):
                decoded.faults.append(result)
            elif isinstance(result, Truncate):
                decoded.truncates.append(result)
            elif result is TOMBSTONE:
                decoded.tombstones.append(record)
            else:
                decoded.messages += 1
        return decoded

    def one(self, record: Record) -> Change | Truncate | Fault | str:
        """The decoded record; TOMBSTONE or MESSAGE if it is neither a change nor a fault."""
        if record.value is None:
            return TOMBSTONE
        fault, envelope = _parsed(record)
        if fault is None:
            op = text_of(envelope.get("op"))
            kind = _KINDS.get(op) if op is not None else None
            if kind is MESSAGE:
                return MESSAGE
            if op is None or kind is None:
                fault = faults.no_op(op)
            else:
                change = self._change(record, envelope, op, kind)
                if not isinstance(change, Reason):
                    return change
                fault = change
        return self._faulty(record, envelope, fault)

    def key_of(self, row: Sequence[Any]) -> keys.Key:
        """The key of a row that begins with the declared columns."""
        return self._key_of(row)  # type: ignore[arg-type]

    def key_of_tombstone(self, record: Record) -> keys.Key:
        """The key of a record without a value; unreadable parts are None."""
        return self._key_of(self.values_of_tombstone(record))

    def values_of_tombstone(self, record: Record) -> tuple[Any, ...]:
        """The declared columns of a record without a value: the key's values, and None for all others."""
        return self._row(None, record.key).values

    def _change(self, record: Record, envelope: dict[str, Any], op: str, kind: str) -> Change | Truncate | Reason:
        """The record as a change or truncate, or the reason why it cannot be used."""
        source = envelope.get("source")
        if isinstance(source, dict):
            schema, name = text_of(source.get("schema")), text_of(source.get("table"))
            if name != self.table.name or (self._schema is not None and schema != self._schema):
                return faults.wrong_table(schema, name)
        else:
            source = _NOTHING
        if record.key is None and kind is not TRUNCATE:
            return faults.null_key(op)
        lsn, last_commit = _position(source, op)
        commit_at = _number(source.get("ts_us"))
        if record.epoch is None or lsn is None or commit_at is None or not 0 <= commit_at <= _LAST_MICROSECOND:
            is_dated = commit_at is not None and 0 <= commit_at <= _LAST_MICROSECOND
            return faults.no_position(record.epoch, lsn, commit_at if is_dated else None)
        row = self._row(envelope.get("after") if op in _ROW_OPS else None, record.key)
        fault, linked = self._checked(row, record, op, kind)
        if fault is not None:
            return fault
        txid = None if op == "r" else _number(source.get("txId"))
        if kind is TRUNCATE:
            return Truncate(record.epoch, lsn, txid, record.offset, commit_at)
        content = hashlib.sha256(_NEVER_IN_TEXT.join(row.image).encode()).hexdigest()
        place = (record.epoch, lsn, txid, last_commit, record.offset, commit_at)
        return Change(row.values, kind, *place, content, tuple(row.unchanged), linked)

    def _checked(self, row: _Row, record: Record, op: str, kind: str) -> tuple[Reason | None, str | None]:
        """The fault of the values, if any, and the other key of a primary-key change."""
        if op in _ROW_OPS and not row.has_key:
            return faults.lost_key(self.table.key), None
        linked = None
        if record.linked is not None and kind in _LINKED:
            text = record.linked.decode(errors="replace")
            linked = self._linked_key(text)
            if linked is None:
                return faults.lost_link(text), None
        key = self._key_of(row.values)
        if None in key and kind in _KEYED:
            row.misfits.extend(faults.keyless(name) for name, value in zip(self.table.key, key, strict=True) if value is None)
        if row.misfits:
            return faults.bad_value(row.misfits), None
        if self._refused is not None and op in _ROW_OPS:
            broken = self._refused(row.values, row.unchanged)
            if broken:
                return faults.refused(broken), None
        return None, linked

    def _linked_key(self, text: str) -> str | None:
        """The key in a header, as JSON; None if it is not a key of this table."""
        key_texts = _key_texts(text)
        texts = [(read_text, key_texts.get(name)) for name, read_text in self._key_readers]
        parts = tuple(None if text is None else read_text(text) for read_text, text in texts)
        return None if None in parts else self._key_json(parts)

    def _row(self, after: Any, key: bytes | None) -> _Row:
        """The declared columns, read from `after`; a key column missing there is read from the Kafka key."""
        received = after if isinstance(after, dict) else _NOTHING
        typed_values: list[Any] = []
        image: list[str] = []
        unchanged: list[str] = []
        misfits: list[str] = []
        key_texts: dict[str, str | None] | None = None
        for name, prefix, read_text, type_, is_key, forms in self._columns:
            value = received.get(name)
            text = value if type(value) is str else text_of(value)
            if text is None and is_key:
                if key_texts is None:
                    key_texts = _key_texts(None if key is None else key.decode(errors="replace"))
                text = key_texts.get(name)
            if text is None:
                typed_values.append(None)
            elif forms is not None and text in forms:
                typed_values.append(None)
                unchanged.append(name)
                image.append(f"{name}?")
            else:
                typed = read_text(text)
                if typed is None:
                    misfits.append(faults.misfit(name, text, type_))
                typed_values.append(typed)
                image.append(prefix + text)
        return _Row(tuple(typed_values), image, unchanged, misfits, key_texts is None)

    def _faulty(self, record: Record, envelope: dict[str, Any], fault: Reason) -> Fault:
        """The fault, with the columns and position that can be read."""
        op = text_of(envelope.get("op"))
        after = envelope.get("after") if op in _ROW_OPS else None
        # For a repeated name, the first value is taken.
        row = self._row(dict(reversed(after.pairs)) if isinstance(after, Repeated) else after, record.key)
        source = envelope.get("source")
        lsn, _ = _position(source if isinstance(source, dict) else _NOTHING, op)
        return Fault(reason=fault[0], detail=fault[1], record=record, values=row.values, lsn=lsn)


class _Column(NamedTuple):
    """How a column is read: name, prefix in the content image, type, and the encodings of the unavailable-value placeholders."""

    name: str
    prefix: str
    read: values.Reader
    type: str
    is_key: bool
    placeholders: frozenset[str] | None

    @classmethod
    def of(cls, name: str, type_: str, is_key: bool, placeholders: Sequence[str]) -> _Column:
        """The column; a type that Postgres never stores out of line (TOAST) has no placeholders."""
        forms = {
            "STRING": list(placeholders),
            "BINARY": [b64encode(text.encode()).decode() for text in placeholders],
            "ARRAY<STRING>": [json.dumps([form]) for text in placeholders for form in (text, _as_uuid(text))],
        }.get(type_)
        return cls(name, f"{name}=", values.reader(type_), type_, is_key, frozenset(forms) if forms else None)


def _as_uuid(placeholder: str) -> str:
    """The element by which Debezium marks an array of uuid as unchanged: the placeholder's name-based UUID, as Java computes it."""
    return str(UUID(bytes=hashlib.md5(placeholder.encode(), usedforsecurity=False).digest(), version=3))


class _Row(NamedTuple):
    """Declared columns as read: values, content image, unchanged columns, values that do not fit, whether `after` has the whole key."""

    values: tuple[Any, ...]
    image: list[str]
    unchanged: list[str]
    misfits: list[str]
    has_key: bool


def decode(table: Table, records: pa.Table | Iterable[Record], placeholders: Sequence[str], source_schema: str | None = None) -> Decoded:
    """The decoded records of the table's topic; `records` as Records, or as an Arrow table with bronze's columns."""
    taken = records_of(records) if hasattr(records, "column") else records
    return Decoder(table, placeholders, source_schema).decode(taken)


def places(decoded: Decoded, table: Table, *, faulty_only: bool = True) -> list[Place]:
    """Positions of the records whose key can be read: of faulty ones, which block their keys, or of all."""
    key_of = keys.of_values(table)
    found = [Place(key_of(fault.values), fault.record.epoch, fault.lsn, fault.record.offset) for fault in decoded.faults]
    if not faulty_only:
        found += [Place(key_of(change.values), change.epoch, change.lsn, change.offset or 0) for change in decoded.changes]
    return [place for place in found if None not in place.key]


def _parsed(record: Record) -> tuple[Reason | None, dict[str, Any]]:
    """The fault of the record's text, if any, and its envelope as far as it can be read."""
    value = record.value
    if not value:
        return faults.EMPTY, _NOTHING
    fault = None
    try:
        text = value.decode()
        if record.key is not None:
            record.key.decode()
    except UnicodeDecodeError:
        fault, text = faults.NOT_UTF8, value.decode(errors="replace")
    try:
        envelope = read(text)
    except ValueError:
        return fault or faults.NOT_JSON, _NOTHING
    if type(envelope) is dict and type(envelope.get("after")) is not Repeated:
        return fault, envelope
    return fault or faults.NOT_JSON, envelope if isinstance(envelope, dict) else _NOTHING


def _key_texts(text: str | None) -> dict[str, str | None]:
    """The texts of a key's parts; empty if it is not a JSON object. For a repeated name, the first value is taken."""
    try:
        key = _NOTHING if text is None else first(text)
    except ValueError:
        return {}
    if not isinstance(key, dict):
        return {}
    pairs = reversed(key.pairs) if isinstance(key, Repeated) else key.items()
    return {name: text_of(value) for name, value in pairs}


def _position(source: dict[str, Any], op: str | None) -> tuple[int | None, int | None]:
    """The record's lsn and the last commit before its own transaction; None where not present.

    A read of an incremental snapshot has no lsn: it is placed at the last commit sent.
    """
    sequence = text_of(source.get("sequence"))
    last_commit = values.whole(sequence.split('"', 2)[1]) if sequence is not None and sequence.startswith('["') else None
    lsn = _number(source.get("lsn"))
    return (last_commit if lsn is None and op == "r" else lsn), last_commit


def _number(value: Any) -> int | None:
    return values.whole(text_of(value))
