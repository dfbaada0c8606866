"""Changes to history: what a table's stored changes become when more of them arrive.

`difference` is the whole of it: changes in, rows to write out. The stored form is one row a change, hidden ones included: a no-op
that is forgotten is missed when a late change splits its run. The newest row of a key is all that a later change must know; the
fold itself finds the keys whose new changes are not all later, and is made again with their whole histories, and with those of the
keys they were linked with by key changes. Nothing here reads a clock, and nothing depends on the order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.ledger import stored as stored_form
from lakehouse.transforms import folding, keychanges, ordering
from lakehouse.transforms.folding import Fold

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

# What a change brings, beside the declared columns.
RECEIVED = ("_kind", "_epoch", "_lsn", "_txid", "_last_commit_lsn", "_offset", "_commit_at", "_content_hash", "_unchanged", "_linked_key")
# Columns that only say where a version stands: when they alone move, the row's own content is as old as it was.
_PLACEMENT = ("_valid_from", "_valid_to", "_from_lsn", "_to_lsn", "_previous_key", "_is_visible", "_is_blocked", "_last", "_run", "_offset")
_VERDICTS = ("_is_late", "_is_contested", "_is_changed")


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """What a run brings to one table.

    `changes`: declared columns and RECEIVED. `run`: what `_run` becomes of a row whose content or effective time changes.
    `has_links`: primary-key changes are among them. `blocked`: keys with `_epoch`, `_lsn` (either may be NULL) and `_offset` of
    changes that wait in quarantine. `truncates`: gives keys their truncates, as rows of `changes` with `_is_placed`, false for those
    that this run brings; None where the table was never truncated.
    """

    table: Table
    changes: DataFrame
    run: int
    has_links: bool = False
    blocked: DataFrame | None = None
    truncates: Callable[[DataFrame], DataFrame] | None = None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Rows of the stored form to insert or to update, by identity, worked out; None where the changes bring nothing new.

    `is_only_last`: each row that updates is the newest of its key. `is_near`: no row is of a key that the batch did not lead to by its
    bounds. `contested`: identity and `_content_hash` of each change of which
    another record had other content; None where there is none.
    """

    rows: DataFrame | None
    is_only_last: bool
    is_near: bool
    contested: DataFrame | None


def difference(incoming: Incoming, touched: DataFrame, stored: DataFrame, bounds: Column | None = None) -> Difference:
    """What the changes make different; `touched`: the distinct keys to look at, beside those linked with them.

    `bounds`: a condition that holds for every stored row of the touched keys, by which files are left unread.
    """
    table, key = incoming.table, list(incoming.table.key)
    if incoming.has_links:
        linked = keychanges.linked_keys(incoming.changes, table).select(*key)
        touched = touched.unionByName(linked).distinct().localCheckpoint()
    near = stored if bounds is None else stored.where(bounds)
    newest = near.where("_last").join(touched, on=key, how="left_semi")
    # Worked out once, here: MERGE reads its source twice, and refuses one that is merely cached.
    rows = _folded(incoming, touched, newest, None, has_links=False).localCheckpoint()
    verdict = _verdict(rows)
    # No key is late in an ordinary batch: whole histories are read only for those that are.
    if not verdict["_is_late"]:
        return _outcome(incoming, rows, verdict, is_only_last=True, is_near=True)
    late = rows.where("_is_late").select(*key).distinct().localCheckpoint()
    late, has_links = _with_linked(incoming, late, near, stored)
    whole = (stored if has_links else near).join(late, on=key, how="left_semi")
    others = newest.join(late, on=key, how="left_anti")
    rows = _folded(incoming, touched.unionByName(late).distinct(), others, whole, has_links).localCheckpoint()
    return _outcome(incoming, rows, _verdict(rows), is_only_last=False, is_near=not has_links)


def anew(incoming: Incoming, kept: DataFrame | None = None) -> tuple[DataFrame, DataFrame]:
    """The whole stored form of a table from all of its changes, and which of them are contested, as `Difference` has them.

    `kept` are stored changes that `incoming` no longer has.
    """
    table = incoming.table
    keys = incoming.changes.select(*table.key)
    if incoming.has_links:
        keys = keys.unionByName(keychanges.linked_keys(incoming.changes, table).select(*table.key))
    if kept is not None:
        keys = keys.unionByName(kept.select(*table.key))
    nothing = incoming.changes.sparkSession.createDataFrame([], stored_form(table).schema_ddl())
    has_links = incoming.has_links or (kept is not None and not kept.where("_linked_key IS NOT NULL").isEmpty())
    rows = _folded(incoming, keys.distinct(), nothing, kept, has_links).localCheckpoint()
    contested = _contested(incoming, rows)
    changed = _changed(incoming, rows)
    if kept is None:
        return changed, contested
    # The fold gives only what differs from the stored row.
    return changed.unionByName(kept.join(changed, on=list(stored_form(table).key), how="left_anti")), contested


def _with_linked(incoming: Incoming, late: DataFrame, near: DataFrame, stored: DataFrame) -> tuple[DataFrame, bool]:
    """The late keys with all that key changes link them with, directly or through others; and whether any do.

    `near` are the stored rows of the late keys and more: of keys beyond, all of them are asked.
    """
    table, key = incoming.table, list(incoming.table.key)
    brought = keychanges.linked_keys(incoming.changes, table).select(*key) if incoming.has_links else None
    has_links, reached = incoming.has_links, late
    while True:
        known = near.where("_linked_key IS NOT NULL").join(reached, on=key, how="left_semi").select(*key, "_linked_key")
        linked = keychanges.linked_keys(known, table).select(*key).distinct()
        if brought is not None:
            linked, brought = linked.unionByName(brought).distinct(), None
        linked = linked.localCheckpoint()
        if linked.isEmpty():
            return late, has_links
        has_links, near = True, stored
        reached = linked.join(late, on=key, how="left_anti").localCheckpoint()
        if reached.isEmpty():
            return late, has_links
        late = late.unionByName(reached).localCheckpoint()


def _folded(incoming: Incoming, keys: DataFrame, newest: DataFrame, whole: DataFrame | None, has_links: bool) -> DataFrame:
    """The rows that differ from what is stored, or are late or contested, in the stored form with the three verdicts; see `_judged`.

    `newest`: the `_last` rows of touched keys without whole history. `whole`: all stored rows of the other touched keys. What is said
    of a key that is late is wrong: it needs its whole history.
    """
    fold = Fold(incoming.table, has_links, has_truncates=incoming.truncates is not None)
    stacked = _stacked(incoming, keys, newest, whole)
    rows = folding.with_void(fold, ordering.in_order(ordering.one_per_identity(stacked, fold.table.key), fold.table.key))
    inherited = folding.with_moved(fold, rows) if has_links else folding.with_inherited(fold, rows)
    versions = folding.with_versions(fold, folding.with_times(fold, folding.with_runs(fold, inherited)))
    return _judged(fold.table, _with_blocked(fold.table, versions, incoming.blocked))


def _stacked(incoming: Incoming, keys: DataFrame, newest: DataFrame, whole: DataFrame | None) -> DataFrame:
    """Incoming and stored changes in one frame; `_is_state` marks a newest row that stands for all changes before it."""
    table = incoming.table
    names = [*table.column_names, *RECEIVED]
    changes = incoming.changes.select(*names)
    if incoming.has_links:
        changes = changes.unionByName(keychanges.deletes(changes, table))
    rows = changes.withColumn("_is_placed", F.lit(False))
    if incoming.truncates:
        rows = rows.unionByName(incoming.truncates(keys), allowMissingColumns=True)
    rows = rows.select("*", F.lit(False).alias("_is_state"), F.col("_unchanged").alias("_blank"))
    # What a state row could not resolve stays unknown; everything else it carries, however it came by it.
    state = newest.select(
        *names,
        F.lit(True).alias("_is_placed"),
        F.lit(True).alias("_is_state"),
        F.col("_unresolved").alias("_blank"),
        F.col("_effective_at").alias("_state_at"),
        F.struct(F.col("_valid_from").alias("at"), F.col("_from_lsn").alias("lsn"), F.col("_previous_key").alias("previous_key")).alias(
            "_state_head"
        ),
        _stored_struct(table),
    )
    stacked = rows.unionByName(state, allowMissingColumns=True)
    if whole is not None:
        stored = whole.select(
            *names,
            F.lit(True).alias("_is_placed"),
            F.lit(False).alias("_is_state"),
            F.col("_unchanged").alias("_blank"),
            _stored_struct(table),
        )
        stacked = stacked.unionByName(stored, allowMissingColumns=True)
    # One shuffle for all that follows: every window is of one key, and would by itself shuffle by all it partitions by.
    return ordering.placed(stacked).repartition(*table.key)


def _stored_struct(table: Table) -> Column:
    return F.struct(*stored_form(table).column_names).alias("_old")


def _with_blocked(table: Table, rows: DataFrame, blocked: DataFrame | None) -> DataFrame:
    """Mark the open version of a key while a newer change of the key waits in quarantine."""
    if blocked is None:
        return rows.withColumn("_is_blocked", F.lit(False))
    is_placed = F.col("_epoch").isNotNull() & F.col("_lsn").isNotNull()
    waiting = blocked.groupBy(*table.key).agg(
        F.max(F.when(is_placed, F.struct("_epoch", "_lsn"))).alias("_waiting"),
        F.max(F.when(~is_placed, F.col("_offset"))).alias("_waiting_offset"),
    )
    joined = rows.join(F.broadcast(waiting), on=list(table.key), how="left")
    # Offsets speak only where the waiting record's position cannot be read.
    is_newer = (F.col("_waiting") > F.struct("_epoch", "_lsn")) | (F.col("_waiting_offset") > F.col("_offset"))
    is_open = F.col("_last") & F.col("_is_visible")
    return joined.withColumn("_is_blocked", is_open & F.coalesce(is_newer, F.lit(False)))


def _judged(table: Table, rows: DataFrame) -> DataFrame:
    """The rows on which a verdict falls, in the stored form, each column cast to its declared type; `_run` is NULL for this run."""
    form = stored_form(table)
    typed = rows.withColumn("_run", F.lit(None)).select(
        *(F.col(column.name).cast(column.type).alias(column.name) for column in form.columns), "_old", "_is_late", "_is_contested"
    )
    content = [name for name in form.column_names if name not in _PLACEMENT]
    is_same_content = _same(content) & F.col("_old").isNotNull()
    kept = typed.withColumn("_run", F.when(is_same_content, F.col("_old._run")))
    is_same = _same(list(form.column_names)) & F.col("_old").isNotNull()
    judged = kept.withColumns({"_is_changed": ~is_same, "_is_contested": F.coalesce("_is_contested", F.lit(False))})
    return judged.where(F.col("_is_changed") | F.col("_is_late") | F.col("_is_contested")).select(*form.column_names, *_VERDICTS)


def _same(names: list[str]) -> Column:
    return F.struct(*names).eqNullSafe(F.struct(*(F.col(f"_old.{name}").alias(name) for name in names)))


def _verdict(rows: DataFrame) -> Row:
    """Whether any row is late, contested, changed: one small job."""
    found = rows.agg(*(F.coalesce(F.bool_or(name), F.lit(False)).alias(name) for name in _VERDICTS)).first()
    assert found is not None  # an aggregate without groups is always one row
    return found


def _outcome(incoming: Incoming, rows: DataFrame, verdict: Row, *, is_only_last: bool, is_near: bool) -> Difference:
    changed = _changed(incoming, rows) if verdict["_is_changed"] else None
    contested = _contested(incoming, rows) if verdict["_is_contested"] else None
    return Difference(rows=changed, is_only_last=is_only_last, is_near=is_near, contested=contested)


def _changed(incoming: Incoming, rows: DataFrame) -> DataFrame:
    """The rows to write. The run comes in here, after the fold: a number within its plan would have all of its code compiled each run."""
    return rows.where("_is_changed").drop(*_VERDICTS).fillna({"_run": incoming.run})


def _contested(incoming: Incoming, rows: DataFrame) -> DataFrame:
    return rows.where("_is_contested").select(*incoming.table.key, "_epoch", "_lsn", "_kind", "_content_hash")
