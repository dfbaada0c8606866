"""Spark's part of the heavy fold without Spark: rows to Arrow, keys to groups, late keys to whole histories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from lakehouse.contract import Column
from lakehouse.transforms.heavy import workers
from lakehouse.transforms.history.links import components
from lakehouse.transforms.records import arrow
from lakehouse.transforms.records.changes import Change
from tests.golden.memory import Row, Silver
from tests.golden.oracle import Change as Received


def take(silver: Silver, batch: Sequence[Received]) -> int:
    """One run over one batch, as the heavy caller does it; the number of rows written."""
    changes, known = silver.brought(batch)
    new = tuple(truncate for truncate in silver.truncates if truncate.place not in known)
    linked = _links(silver, changes, silver.rows.values())
    keys = {change.values[:2] for change in changes} | {key for pair in linked for key in pair}
    newest = [row for row in silver.rows.values() if row[silver.form.place["_last"]] and (new or row[:2] in keys)]
    more: dict[str, Any] = {"table": silver.form.table, "run": silver.runs, "truncates": silver.truncates}
    first = _rows(silver, workers.fold_newest(_batches(silver, changes, newest, linked), new=new, **more))
    late = {row[:2] for row in first if row[-2]}
    late |= {key for group in components(linked) if late & set(group) for key in group}
    again = [change for change in changes if change.values[:2] in late]
    whole = [row for row in silver.rows.values() if row[:2] in late]
    second = _rows(silver, workers.fold_whole(_batches(silver, again, whole, linked), is_full=False, **more)) if late else []
    return silver.write_rows([row for row in first if row[:2] not in late] + second)


def rebuild(silver: Silver, batch: Sequence[Received]) -> int:
    """One run that folds the whole table from scratch, as a rebuild does; the number of rows that differ."""
    silver.brought(batch)
    linked = _links(silver, silver.received, ())
    more: dict[str, Any] = {"table": silver.form.table, "run": silver.runs, "truncates": silver.truncates}
    return silver.replace_rows(_rows(silver, workers.fold_whole(_batches(silver, silver.received, (), linked), is_full=True, **more)))


def _rows(silver: Silver, batches: Iterable[pa.RecordBatch]) -> list[Row]:
    form = workers.folded_form(silver.form.table)
    return [row for batch in batches for row in arrow.rows(batch, form)]


def _batches(silver: Silver, changes: Iterable[Change], stored: Iterable[Row], linked: set[tuple[Any, Any]]) -> Iterator[pa.RecordBatch]:
    """The rows sorted by group, three to a batch."""
    form, group = silver.form, {key: number for number, keys in enumerate(components(linked)) for key in keys}
    rest = (None,) * (form.width - form.declared - 11)
    rows = [(*change.values, *change[1:8], None, *change[8:], *rest, workers.CHANGE) for change in changes]
    rows += [(*row, workers.STORED) for row in stored]
    numbered = sorted(((*row, group.get(row[:2], hash(row[:2]))) for row in rows), key=lambda row: row[-1])
    columns = (*form.stored.columns, Column(name="_role", type="STRING", doc="Role."), Column(name="_group", type="BIGINT", doc="Group."))
    given = workers.with_columns(form.table, "given", columns)
    yield from arrow.arrow(numbered, given).to_batches(max_chunksize=3)


def _links(silver: Silver, changes: Iterable[Change], stored: Iterable[Row]) -> set[tuple[Any, Any]]:
    place, of_json = silver.form.place["_linked_key"], silver.form.key_of_json
    pairs = {(change.values[:2], of_json(change.linked_key)) for change in changes if change.linked_key is not None}
    return pairs | {(row[:2], of_json(row[place])) for row in stored if row[place] is not None}
