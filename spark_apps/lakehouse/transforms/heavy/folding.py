"""The fold on the executors: the difference that a run's changes make, or a whole table from scratch.

Key changes and lateness decide which rows are folded together: for most keys the newest row, for late keys and keys linked to them the
whole history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.transforms.heavy import routing, workers
from lakehouse.transforms.heavy.workers import BLOCKED, CHANGE, RECEIVED, ROLE, STORED, VERDICTS
from lakehouse.transforms.records.truncates import Truncate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column, DataFrame, Row


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """Input of a run for one table.

    `changes`: declared columns and RECEIVED. `run`: value of `_run` for a row whose content or effective time changes. `has_links`: whether
    there are primary-key changes among the changes. `blocked`: keys with `_epoch`, `_lsn` (either may be NULL) and `_offset` of quarantined
    changes. `truncates`: all truncates of the table; `new_truncates`: those not yet applied by a run.
    """

    table: Table
    changes: DataFrame
    run: int
    has_links: bool = False
    blocked: DataFrame | None = None
    truncates: tuple[Truncate, ...] = ()
    new_truncates: tuple[Truncate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Rows of the stored form to insert or update, by identity, materialized; None if nothing changes.

    `is_only_last`: every updated row is the newest of its key. `is_near`: every row is of a key within the batch's bounds. `contested`:
    identity and `_content_hash` of each change received with differing contents; None if there is none.
    """

    rows: DataFrame | None
    is_only_last: bool
    is_near: bool
    contested: DataFrame | None


def difference(incoming: Incoming, touched: DataFrame, stored: DataFrame, bounds: Column | None = None) -> Difference:
    """The difference that the changes make; `touched`: the distinct keys to fold, besides keys linked to them.

    `bounds`: a condition that holds for every stored row of the touched keys, used to skip files.
    """
    table, key = incoming.table, list(incoming.table.key)
    linked = routing.links(incoming.changes, table) if incoming.has_links else set()
    if linked:
        touched = touched.unionByName(routing.linked_keys(incoming.changes, table)).distinct()
    near = stored if bounds is None else stored.where(bounds)
    newest = near.where("_last").join(touched, on=key, how="left_semi")
    work = partial(workers.fold_newest, run=incoming.run, truncates=incoming.truncates, new=incoming.new_truncates)
    # Materialized here: MERGE reads its source twice, and rejects one that is only cached.
    first = _folded(incoming, newest, linked, work).localCheckpoint()
    verdict = _verdict(first)
    # An ordinary batch has no late key; whole histories are read only for late keys.
    if not verdict["_is_late"]:
        return _outcome(table, first, verdict, is_only_last=True, is_near=True)
    late = first.where("_is_late").select(*key).localCheckpoint()
    late, linked, is_near = routing.closure(table, late, linked, near, stored)
    whole = (near if is_near else stored).join(late, on=key, how="left_semi")
    again = replace(incoming, changes=incoming.changes.join(late, on=key, how="left_semi"))
    work = partial(workers.fold_whole, run=incoming.run, truncates=incoming.truncates, is_full=False)
    others = first.where("NOT _is_late").join(late, on=key, how="left_anti").select(*first.columns)
    rows = others.unionByName(_folded(again, whole, linked, work)).localCheckpoint()
    return _outcome(table, rows, _verdict(rows), is_only_last=False, is_near=is_near)


def fold_all(incoming: Incoming, kept: DataFrame | None = None) -> tuple[DataFrame, DataFrame]:
    """The whole stored form of a table from all of its changes, and the contested ones as in `Difference`.

    `kept` are stored changes that `incoming` no longer has.
    """
    table = incoming.table
    linked = routing.links(incoming.changes, table) if incoming.has_links else set()
    if kept is not None:
        linked |= routing.links(kept, table)
    work = partial(workers.fold_whole, run=incoming.run, truncates=incoming.truncates, is_full=True)
    rows = _folded(incoming, kept, linked, work).localCheckpoint()
    return rows.where("_is_changed").drop(*VERDICTS), _contested(table, rows)


def _folded(incoming: Incoming, stored: DataFrame | None, linked: set[tuple[str, str]], work: Callable[..., object]) -> DataFrame:
    """Apply `work` to changes, stored rows and quarantined records, grouped by key and by linked keys."""
    table = incoming.table
    names = [*table.column_names, *(column.name for column in RECEIVED)]
    rows = incoming.changes.select(*names).withColumn(ROLE, F.lit(CHANGE))
    for part, role in ((stored, STORED), (incoming.blocked, BLOCKED)):
        if part is not None:
            rows = rows.unionByName(part.withColumn(ROLE, F.lit(role)), allowMissingColumns=True)
    grouped = routing.grouped(rows, table, linked)
    return grouped.mapInArrow(partial(work, table=table), workers.folded_form(table).schema_ddl())  # type: ignore[arg-type]


def _verdict(rows: DataFrame) -> Row:
    """Whether any row is late, contested or changed: one small job."""
    found = rows.agg(*(F.coalesce(F.bool_or(name), F.lit(False)).alias(name) for name in VERDICTS)).first()
    assert found is not None  # an aggregate without groups is always one row
    return found


def _outcome(table: Table, rows: DataFrame, verdict: Row, *, is_only_last: bool, is_near: bool) -> Difference:
    changed = rows.where("_is_changed").drop(*VERDICTS) if verdict["_is_changed"] else None
    contested = _contested(table, rows) if verdict["_is_contested"] else None
    return Difference(rows=changed, is_only_last=is_only_last, is_near=is_near, contested=contested)


def _contested(table: Table, rows: DataFrame) -> DataFrame:
    return rows.where("_is_contested").select(*table.key, "_epoch", "_lsn", "_kind", "_content_hash")
