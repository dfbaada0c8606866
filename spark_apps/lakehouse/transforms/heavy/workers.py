"""Functions that Python workers apply to a partition; imports no Spark, so that a worker loads none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pyarrow as pa

from lakehouse import platform_tables
from lakehouse.contract import Column, Table
from lakehouse.transforms.history import fold, order
from lakehouse.transforms.history.fold import Incoming
from lakehouse.transforms.history.form import Form, Key, Row
from lakehouse.transforms.history.steps import Steps
from lakehouse.transforms.records import arrow, erasing, keys
from lakehouse.transforms.records.changes import TOMBSTONE, TRUNCATE, Change, Fault, Place
from lakehouse.transforms.records.envelope import Decoder
from lakehouse.transforms.records.received import Record, records
from lakehouse.transforms.records.truncates import Truncate

# Columns received with a change, besides the declared ones.
RECEIVED = (
    Column(name="_kind", type="STRING", doc="read, upsert, delete, truncate, tombstone or message; NULL for a faulty record."),
    Column(name="_epoch", type="INT", doc="Number of the source's timeline, where it is known."),
    Column(name="_lsn", type="BIGINT", doc="Position in the source's WAL, where it is known."),
    Column(name="_txid", type="BIGINT", doc="Transaction at the source; NULL for a read."),
    Column(name="_last_commit_lsn", type="BIGINT", doc="Last commit before the change's own transaction."),
    Column(name="_offset", type="BIGINT", doc="Kafka offset."),
    Column(name="_commit_at", type="TIMESTAMP", doc="Commit time."),
    Column(name="_content_hash", type="STRING", doc="Hash of the declared columns as received."),
    Column(name="_unchanged", type="ARRAY<STRING>", doc="Columns received as unchanged."),
    Column(name="_linked_key", type="STRING", doc="Other key of a primary-key change, as JSON."),
)
_RECORD = (
    Column(name="_reason", type="STRING", doc="Why the record cannot be used; NULL where it can."),
    Column(name="_detail", type="STRING", doc="What exactly is wrong with it."),
    Column(name="_source_table", type="STRING", doc="Table of its topic."),
    Column(name="_topic", type="STRING", doc="Kafka topic."),
    Column(name="_partition", type="INT", doc="Kafka partition."),
    Column(name="_key_bytes", type="BINARY", doc="Key as received."),
    Column(name="_value_bytes", type="BINARY", doc="Value as received; NULL where values were not requested."),
    Column(name="_named_key", type="STRING", doc="Key as the list of forgotten keys has it; NULL where values were not requested."),
    Column(name="_blanked", type="BINARY", doc="The value without erased columns; NULL where values were not requested."),
)

# Columns read from the text of a record that may have to be erased.
NAMED = (
    Column(name="_key", type="STRING", doc="Key as the list of forgotten keys has it."),
    Column(name="_blanked", type="BINARY", doc="The value without erased columns."),
    Column(name="_persons", type="ARRAY<STRING>", doc="Keys of the persons in a column; NULL where none was requested."),
)

# Columns besides the stored form's: the role of a row in the fold's input, and the group it is folded with.
ROLE, GROUP = "_role", "_group"
# Whether the change is not visible to the snapshot that the table is compared with.
UNSEEN = "_is_unseen"
CHANGE, STORED, BLOCKED = "change", "stored", "blocked"
# Kind of a result row: a row to write; a key whose whole history is needed; an identity that is contested.
VERDICTS = ("_is_changed", "_is_late", "_is_contested")
# Rows that a worker folds at a time, plus those of the last group; bounds its memory.
_ROWS_AT_A_TIME = 4000


def decoded_form(table: Table) -> Table:
    """The columns of decoded records."""
    return with_columns(table, "decoded", (*table.columns, *RECEIVED, *_RECORD))


def folded_form(table: Table) -> Table:
    """The columns of the fold's result: the stored form and VERDICTS."""
    verdicts = tuple(Column(name=name, type="BOOLEAN", doc="A verdict.") for name in VERDICTS)
    return with_columns(table, "folded", (*platform_tables.stored(table).columns, *verdicts))


def with_columns(table: Table, what: str, columns: tuple[Column, ...]) -> Table:
    """A declaration of intermediate frames with these columns."""
    more = {
        "doc": f"{table.name}, {what}.",
        "grain": "one row",
        "owner": table.owner,
        "max_age_s": table.max_age_s,
        "changes_of": table.name,
    }
    return Table(name=f"{table.name}_{what}", key=table.key, columns=columns, **more)  # type: ignore[arg-type]


def decode(
    batches: Iterable[pa.RecordBatch], table: Table, placeholders: tuple[str, ...], source_schema: str | None, with_values: bool
) -> Iterator[pa.RecordBatch]:
    """Records in bronze's columns as rows of `decoded_form`."""
    decoder, form = Decoder(table, placeholders, source_schema), decoded_form(table)
    for batch in batches:
        taken = list(records(pa.Table.from_batches([batch])))
        rows = [_decoded(decoder, record, with_values) for record in taken]
        erased = _erased(decoder, taken, rows) if with_values else [(None, None)] * len(rows)
        rows = [(*row, *more) for row, more in zip(rows, erased, strict=True)]
        yield from arrow.arrow(rows, form).to_batches()


def _decoded(decoder: Decoder, record: Record, with_values: bool) -> tuple[Any, ...]:
    made = decoder.one(record)
    name = decoder.table.name
    own = (name, record.topic, record.partition, record.key, record.value if with_values else None)
    if isinstance(made, Change):
        return (*made.values, *made[1:], None, None, *own)
    none = (None,) * len(decoder.table.columns)
    if isinstance(made, Fault):
        fault = (made.reason, made.detail, name, record.topic, record.partition, record.key, made.record.value)
        return (*made.values, None, record.epoch, made.lsn, None, None, record.offset, None, None, (), None, *fault)
    if isinstance(made, Truncate):
        place = (made.epoch, made.lsn, made.txid, None, made.offset, made.commit_us)
        return (*none, TRUNCATE, *place, TRUNCATE, (), None, None, None, *own)
    values = decoder.values_of_tombstone(record) if made is TOMBSTONE else none
    return (*values, made, record.epoch, None, None, None, record.offset, None, None, (), None, None, None, *own)


def _erased(decoder: Decoder, taken: list[Record], rows: list[Row]) -> Iterator[tuple[str, bytes | None]]:
    """The key by which each record may have to be erased (from its text if faulty), and its value without erased columns."""
    table, listed, reason = decoder.table, keys.as_json(decoder.table), len(decoder.table.columns) + len(RECEIVED)
    for record, row in zip(taken, rows, strict=True):
        is_faulty = row[reason] is not None
        key = erasing.key_of_record(table, record.key, record.value) if is_faulty else listed(decoder.key_of(row))
        yield key, None if record.value is None else erasing.blanked_value(table, record.value)


def name_records(batches: Iterable[pa.RecordBatch], table: Table, column: Column | None, person: Table | None) -> Iterator[pa.RecordBatch]:
    """Records with NAMED, read from the text of `key` and `value`; other columns pass through."""
    types = [arrow.arrow_type(named.type) for named in NAMED]
    for batch in batches:
        pairs = list(zip(batch.column("key").to_pylist(), batch.column("value").to_pylist(), strict=True))
        persons = [None] * len(pairs)
        if column is not None and person is not None:
            persons = [erasing.persons_of_record(column, person, value) for _, value in pairs]  # type: ignore[misc]
        added = [
            [erasing.key_of_record(table, key, value) for key, value in pairs],
            [None if value is None else erasing.blanked_value(table, value) for _, value in pairs],
            persons,
        ]
        for named, values, type_ in zip(NAMED, added, types, strict=True):
            batch = batch.append_column(named.name, pa.array(values, type_))
        yield batch


def fold_newest(
    batches: Iterable[pa.RecordBatch], table: Table, run: int, truncates: tuple[Truncate, ...], new: Collection[Truncate]
) -> Iterator[pa.RecordBatch]:
    """The difference of changes and the newest stored rows of their keys; late keys are only reported."""
    form = Form(table)
    for rows in _groups(batches, form):
        changes, stored, blocked = _by_role(form, rows)
        incoming = Incoming(changes=changes, run=run, blocked=blocked, truncates=truncates, new_truncates=new)
        made = fold.difference(form, incoming, stored, lambda keys: ())
        late = made.late
        found = [(*written.row, True, False, False) for written in made.rows if form.key_of(written.row) not in late]
        found += [_key_row(form, key, None, is_late=True) for key in late]
        found += [_key_row(form, contested.key, contested) for contested in made.contested if contested.key not in late]
        yield from _written(form, found)


def fold_whole(
    batches: Iterable[pa.RecordBatch], table: Table, run: int, truncates: tuple[Truncate, ...], is_full: bool
) -> Iterator[pa.RecordBatch]:
    """The stored form of keys whose stored rows are all given: every row if `is_full`, else those that differ."""
    form = Form(table)
    for rows in _groups(batches, form):
        changes, stored, blocked = _by_role(form, rows)
        made = fold.fold_all(form, Incoming(changes=changes, run=run, blocked=blocked, truncates=truncates), stored)
        found = [(*row, True, False, False) for row, old in made.rows if is_full or old is None or row != old[: form.width]]
        found += [_key_row(form, contested.key, contested) for contested in made.contested]
        yield from _written(form, found)


def newest_seen(batches: Iterable[pa.RecordBatch], table: Table) -> Iterator[pa.RecordBatch]:
    """The newest change of each key, in order, that is not UNSEEN, from all stored changes of the keys."""
    form = Form(table)
    steps = Steps(form)
    for rows in _groups(batches, form, UNSEEN):
        by_key: dict[Key, list[Row]] = {}
        for row in rows:
            by_key.setdefault(form.key_of(row), []).append(row)
        ordered = (order.in_order([steps.of_stored(row) for row in of_key]) for of_key in by_key.values())
        seen = ([step.old for step in of_key if step.old is not None and not step.old[-2]] for of_key in ordered)
        found = [of_key[-1][: form.width] for of_key in seen if of_key]
        if found:
            yield from arrow.arrow(found, form.stored).to_batches()


def _groups(batches: Iterable[pa.RecordBatch], form: Form, what: str = ROLE) -> Iterator[list[Row]]:
    """The rows of whole groups, a few thousand at a time: the stored form's columns, `what`, and the group."""
    gathered: list[Row] = []
    group = None
    for batch in batches:
        for row in arrow.rows(batch, form.stored, extra=(what, GROUP)):
            if row[-1] != group:
                group = row[-1]
                if len(gathered) >= _ROWS_AT_A_TIME:
                    yield gathered
                    gathered = []
            gathered.append(row)
    if gathered:
        yield gathered


def _by_role(form: Form, rows: list[Row]) -> tuple[list[Change], list[Row], list[Place]]:
    width, received = form.declared, form.declared + 7
    changes: list[Change] = []
    stored: list[Row] = []
    blocked: list[Place] = []
    epoch, lsn, offset = (form.place[name] for name in ("_epoch", "_lsn", "_offset"))
    for row in rows:
        role = row[-2]
        if role == CHANGE:
            changes.append(Change(row[:width], *row[width:received], *row[received + 1 : received + 4]))
        elif role == STORED:
            stored.append(row)
        else:
            blocked.append(Place(form.key_of(row), row[epoch], row[lsn], row[offset]))
    return changes, stored, blocked


def _key_row(form: Form, key: tuple[Any, ...], contested: fold.Contested | None, is_late: bool = False) -> Row:
    """A row that contains only a key or an identity."""
    values = [*form.with_key_alone(key), *[None] * (form.width - form.declared)]
    if contested is not None:
        for name, value in zip(("_epoch", "_lsn", "_kind", "_content_hash"), contested[1:], strict=True):
            values[form.place[name]] = value
    return (*values, False, is_late, contested is not None)


def _written(form: Form, rows: list[Row]) -> Iterator[pa.RecordBatch]:
    if rows:
        yield from arrow.arrow(rows, folded_form(form.table)).to_batches()
