"""Decoding of `bronze.changes` records as changes of one table; unreadable ones get a reason.

Nothing here raises because of a record: a value that does not fit, a text that is no JSON and a record of another table all become
faults, with their bytes and a reason, and leave their neighbours alone. What decides, in this order: empty, not_utf8, not_json, no_op,
wrong_table, null_key, no_position, bad_value, refused.

Choices that the wire leaves open: a logical message (`m`) is no change and no error, like a tombstone. A repeated key, at the top
or within the row, is not_json; within `source` it is not looked for. A JSON number where a text belongs, or a quoted number, is
read by its text.
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
_LAST_MICROSECOND = 253_402_300_799_999_999  # of the year 9999, the last that clients can hold
_NOTHING: dict[str, Any] = {}


class Decoder:
    """Decodes records of one table; worth keeping, because its expectations are compiled when it is made.

    Without `source_schema` only the name of the table is compared with the payload's. Raises ContractError for an expectation that
    cannot be compiled.
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
        """The records, told apart; in their order."""
        decoded = Decoded()
        for record in records:
            made = self.one(record)
            if type(made) is Change:
                decoded.changes.append(made)
            elif isinstance(made, Fault):
                decoded.faults.append(made)
            elif isinstance(made, Truncate):
                decoded.truncates.append(made)
            elif made is TOMBSTONE:
                decoded.tombstones.append(record)
            else:
                decoded.messages += 1
        return decoded

    def one(self, record: Record) -> Change | Truncate | Fault | str:
        """What one record is; TOMBSTONE or MESSAGE where it is neither a change nor a fault."""
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
                made = self._change(record, envelope, op, kind)
                if not isinstance(made, Reason):
                    return made
                fault = made
        return self._faulty(record, envelope, fault)

    def key_of(self, row: Sequence[Any]) -> keys.Key:
        """The key of a row that begins with the declared columns."""
        return self._key_of(row)  # type: ignore[arg-type]

    def key_of_tombstone(self, record: Record) -> keys.Key:
        """The key that a record without a value names; its unreadable parts are None."""
        return self._key_of(self.values_of_tombstone(record))

    def values_of_tombstone(self, record: Record) -> tuple[Any, ...]:
        """The declared columns of a record without a value: its key, and None."""
        return self._row(None, record.key).values

    def _change(self, record: Record, envelope: dict[str, Any], op: str, kind: str) -> Change | Truncate | Reason:
        """The change or truncate that the record is, or what is wrong with it."""
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
        fault, linked = self._judged(row, record, op, kind)
        if fault is not None:
            return fault
        txid = None if op == "r" else _number(source.get("txId"))
        if kind is TRUNCATE:
            return Truncate(record.epoch, lsn, txid, record.offset, commit_at)
        content = hashlib.sha256(_NEVER_IN_TEXT.join(row.image).encode()).hexdigest()
        place = (record.epoch, lsn, txid, last_commit, record.offset, commit_at)
        return Change(row.values, kind, *place, content, tuple(row.unchanged), linked)

    def _judged(self, row: _Row, record: Record, op: str, kind: str) -> tuple[Reason | None, str | None]:
        """What is wrong with the values, and the other key of a primary-key change."""
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
        """The key that a header names, as JSON; None where it is no key of this table."""
        named = _key_texts(text)
        texts = [(read_text, named.get(name)) for name, read_text in self._key_readers]
        parts = tuple(None if text is None else read_text(text) for read_text, text in texts)
        return None if None in parts else self._key_json(parts)

    def _row(self, after: Any, key: bytes | None) -> _Row:
        """The declared columns: of a row from `after`, and a key column that it lacks from the Kafka key."""
        received = after if isinstance(after, dict) else _NOTHING
        made: list[Any] = []
        image: list[str] = []
        unchanged: list[str] = []
        misfits: list[str] = []
        named: dict[str, str | None] | None = None
        for name, prefix, read_text, type_, is_key, forms in self._columns:
            value = received.get(name)
            text = value if type(value) is str else text_of(value)
            if text is None and is_key:
                if named is None:
                    named = _key_texts(None if key is None else key.decode(errors="replace"))
                text = named.get(name)
            if text is None:
                made.append(None)
            elif forms is not None and text in forms:
                made.append(None)
                unchanged.append(name)
                image.append(f"{name}?")
            else:
                typed = read_text(text)
                if typed is None:
                    misfits.append(faults.misfit(name, text, type_))
                made.append(typed)
                image.append(prefix + text)
        return _Row(tuple(made), image, unchanged, misfits, named is None)

    def _faulty(self, record: Record, envelope: dict[str, Any], fault: Reason) -> Fault:
        """The fault with what can be read of the record all the same."""
        op = text_of(envelope.get("op"))
        after = envelope.get("after") if op in _ROW_OPS else None
        # A map finds the first of a repeated name.
        row = self._row(dict(reversed(after.pairs)) if isinstance(after, Repeated) else after, record.key)
        source = envelope.get("source")
        lsn, _ = _position(source if isinstance(source, dict) else _NOTHING, op)
        return Fault(reason=fault[0], detail=fault[1], record=record, values=row.values, lsn=lsn)


class _Column(NamedTuple):
    """How a declared column is read: its text in the content's image, its type, and the forms of the placeholders in that type."""

    name: str
    prefix: str
    read: values.Reader
    type: str
    is_key: bool
    placeholders: frozenset[str] | None

    @classmethod
    def of(cls, name: str, type_: str, is_key: bool, placeholders: Sequence[str]) -> _Column:
        """Types that Postgres never stores out of line have no placeholder."""
        forms = {
            "STRING": list(placeholders),
            "BINARY": [b64encode(text.encode()).decode() for text in placeholders],
            "ARRAY<STRING>": [json.dumps([form]) for text in placeholders for form in (text, _as_uuid(text))],
        }.get(type_)
        return cls(name, f"{name}=", values.reader(type_), type_, is_key, frozenset(forms) if forms else None)


def _as_uuid(placeholder: str) -> str:
    """The element by which Debezium says that an array of uuid is unchanged: the placeholder's name-based UUID, of Java's kind."""
    return str(UUID(bytes=hashlib.md5(placeholder.encode(), usedforsecurity=False).digest(), version=3))


class _Row(NamedTuple):
    """Declared columns as read: values, parts of the content's image, unchanged columns, what does not fit, whether the key is whole."""

    values: tuple[Any, ...]
    image: list[str]
    unchanged: list[str]
    misfits: list[str]
    has_key: bool


def decode(table: Table, records: pa.Table | Iterable[Record], placeholders: Sequence[str], source_schema: str | None = None) -> Decoded:
    """What the records of that table's topic are; `records` as Records, or as an Arrow table with bronze's columns."""
    taken = records_of(records) if hasattr(records, "column") else records
    return Decoder(table, placeholders, source_schema).decode(taken)


def places(decoded: Decoded, table: Table, *, faulty_only: bool = True) -> list[Place]:
    """Where the records stand whose key can be read: of those with a fault, for which their keys wait, or of all of them."""
    key_of = keys.of_values(table)
    found = [Place(key_of(fault.values), fault.record.epoch, fault.lsn, fault.record.offset) for fault in decoded.faults]
    if not faulty_only:
        found += [Place(key_of(change.values), change.epoch, change.lsn, change.offset or 0) for change in decoded.changes]
    return [place for place in found if None not in place.key]


def _parsed(record: Record) -> tuple[Reason | None, dict[str, Any]]:
    """What is wrong with the record's text, and its envelope as far as it can be read."""
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
    """The texts of a key's parts, empty where it is no JSON object; of a repeated name the first."""
    try:
        key = _NOTHING if text is None else first(text)
    except ValueError:
        return {}
    if not isinstance(key, dict):
        return {}
    pairs = reversed(key.pairs) if isinstance(key, Repeated) else key.items()
    return {name: text_of(value) for name, value in pairs}


def _position(source: dict[str, Any], op: str | None) -> tuple[int | None, int | None]:
    """Where the record stands in the source's log, and the last commit before its own transaction, each as far as it is told.

    A read of an incremental snapshot has no lsn: it stands behind the last commit sent.
    """
    sequence = text_of(source.get("sequence"))
    last_commit = values.whole(sequence.split('"', 2)[1]) if sequence is not None and sequence.startswith('["') else None
    lsn = _number(source.get("lsn"))
    return (last_commit if lsn is None and op == "r" else lsn), last_commit


def _number(value: Any) -> int | None:
    return values.whole(text_of(value))
