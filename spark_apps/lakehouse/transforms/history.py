"""Changes to history: what a table's stored changes become when more of them arrive.

`difference` is the whole of it: changes in, rows to write out. The stored form is one row a change, hidden ones included: a no-op
that is forgotten is missed when a late change splits its run. The newest row of a key is all that a later change must know; the
fold itself finds the keys whose new changes are not all later, and is made again with their whole histories.

The fold of one key, in the order of `ordering`: unchanged values are inherited through every change; then only the last state of a
transaction counts; then a run of rows equal on the tracked columns is one version, which starts at its head's time and carries its
tail's values. Nothing here reads a clock, and nothing depends on the order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.contract import Severity, Table
from lakehouse.ledger import stored as stored_form
from lakehouse.transforms import ordering, quality
from lakehouse.transforms.ordering import is_row

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, WindowSpec

# What a change brings, beside the declared columns.
RECEIVED = ("_kind", "_epoch", "_lsn", "_txid", "_last_commit_lsn", "_offset", "_commit_at", "_content_hash", "_unchanged")
# Columns that only say where a version stands: when they alone move, the row's own content is as old as it was.
_PLACEMENT = ("_valid_from", "_valid_to", "_from_lsn", "_to_lsn", "_is_visible", "_is_blocked", "_last", "_run", "_offset")


@dataclass(frozen=True)
class _Fold:
    """The windows of one table: a key's changes in order, up to each and before each."""

    table: Table

    @property
    def ordered(self) -> WindowSpec:
        return Window.partitionBy(*self.table.key).orderBy(*ordering.ORDER)

    @property
    def so_far(self) -> WindowSpec:
        return self.ordered.rowsBetween(Window.unboundedPreceding, Window.currentRow)

    @property
    def before(self) -> WindowSpec:
        return self.ordered.rowsBetween(Window.unboundedPreceding, -1)

    def next_of(self, column: str) -> Column:
        """The next value of `column` that is not NULL; a frame that reaches to the end would cost the square of the key's length."""
        keys = ", ".join(f"`{name}`" for name in self.table.key)
        return F.expr(f"lead({column}) IGNORE NULLS OVER (PARTITION BY {keys} ORDER BY {', '.join(ordering.ORDER)})")


def difference(
    table: Table, incoming: DataFrame, touched: DataFrame, stored: DataFrame, run: int, blocked: DataFrame | None = None
) -> tuple[DataFrame, bool]:
    """Rows of the stored form to insert or to update, by identity, worked out; and whether each that updates is the newest of its key.

    No rows where the changes bring nothing new. `touched`: the distinct keys to look at. `run`: what `_run` becomes of a row whose
    content or effective time changes. `blocked`: keys with `_epoch`, `_lsn` (either may be NULL) and `_offset` of changes that wait
    in quarantine.
    """
    key = list(table.key)
    newest = stored.where("_last").join(touched, on=key, how="left_semi")
    # Worked out once, here: MERGE reads its source twice, and refuses one that is merely cached.
    rows = _folded(table, incoming, newest, None, run, blocked).localCheckpoint()
    late = rows.where("_is_late").select(*key).distinct()
    # No key is late in an ordinary batch: whole histories are read only for those that are.
    if late.isEmpty():
        return rows.drop("_is_late"), True
    whole = stored.join(late, on=key, how="left_semi")
    rows = _folded(table, incoming, newest.join(late, on=key, how="left_anti"), whole, run, blocked).localCheckpoint()
    return rows.drop("_is_late"), False


def anew(table: Table, incoming: DataFrame, run: int, blocked: DataFrame | None = None, kept: DataFrame | None = None) -> DataFrame:
    """The whole stored form of a table from all of its changes; `kept` are stored ones that `incoming` no longer has."""
    nothing = incoming.sparkSession.createDataFrame([], stored_form(table).schema_ddl())
    rows = _folded(table, incoming, nothing, kept, run, blocked).drop("_is_late")
    if kept is None:
        return rows
    # The fold gives only what differs from the stored row.
    return rows.unionByName(kept.join(rows, on=list(stored_form(table).key), how="left_anti"))


def _folded(
    table: Table, incoming: DataFrame, newest: DataFrame, whole: DataFrame | None, run: int, blocked: DataFrame | None
) -> DataFrame:
    """The rows that differ from what is stored, with `_is_late`: the key needs its whole history, and what is said of it is wrong.

    `newest`: the `_last` rows of touched keys without whole history. `whole`: all stored rows of the other touched keys.
    """
    fold = _Fold(table)
    rows = ordering.in_order(ordering.one_per_identity(_stacked(table, incoming, newest, whole), table.key), table.key)
    timed = _with_times(fold, _with_runs(fold, _with_inherited(fold, rows)))
    folded = _with_blocked(table, _with_versions(fold, timed), blocked)
    return _changed(table, folded, run)


def _stacked(table: Table, incoming: DataFrame, newest: DataFrame, whole: DataFrame | None) -> DataFrame:
    """Incoming and stored changes in one frame; `_is_state` marks a newest row that stands for all changes before it."""
    names = [*table.column_names, *RECEIVED]
    rows = incoming.select(*names, F.lit(False).alias("_is_state"), F.col("_unchanged").alias("_blank"))
    # What a state row could not resolve stays unknown; everything else it carries, however it came by it.
    state = newest.select(
        *names,
        F.lit(True).alias("_is_state"),
        F.col("_unresolved").alias("_blank"),
        F.col("_effective_at").alias("_state_at"),
        F.struct(F.col("_valid_from").alias("at"), F.col("_from_lsn").alias("lsn")).alias("_state_head"),
        _stored_struct(table),
    )
    stacked = rows.unionByName(state, allowMissingColumns=True)
    if whole is not None:
        stored = whole.select(*names, F.lit(False).alias("_is_state"), F.col("_unchanged").alias("_blank"), _stored_struct(table))
        stacked = stacked.unionByName(stored, allowMissingColumns=True)
    # One shuffle for all that follows: every window is of one key, and would by itself shuffle by all it partitions by.
    return ordering.placed(stacked).repartition(*table.key)


def _stored_struct(table: Table) -> Column:
    return F.struct(*stored_form(table).column_names).alias("_old")


def _with_inherited(fold: _Fold, rows: DataFrame) -> DataFrame:
    """Fill unchanged values from the nearest earlier change that carried them; a delete ends a life, and inheritance with it.

    A real NULL is a value. What stays unknown is NULL and named in `_unresolved`.
    """
    table = fold.table
    values = [name for name in table.column_names if name not in table.key]
    carried = {name: is_row() & ~F.array_contains("_blank", name) for name in values}

    def carrier(name: str) -> Column:
        ends = F.when(~is_row(), F.struct(F.lit(False).alias("is_found"), F.lit(None).cast(table.column(name).type).alias("value")))
        return ends.when(carried[name], F.struct(F.lit(True).alias("is_found"), F.col(name).alias("value")))

    sources = {f"_from_{name}": F.last(carrier(name), ignorenulls=True).over(fold.so_far) for name in values}
    own = ordering.transaction()
    found = rows.withColumns({**sources, "_is_superseded": F.coalesce(own == F.lead(own).over(fold.ordered), F.lit(False))})
    is_found = {name: F.coalesce(F.col(f"_from_{name}.is_found"), F.lit(False)) for name in values}
    missing = F.array_compact(F.array(*(F.when(is_row() & ~is_found[name], F.lit(name)) for name in values)).cast("array<string>"))
    filled = {name: F.when(is_row() & is_found[name], F.col(f"_from_{name}.value")) for name in values}
    resolved = found.withColumns({**filled, "_unresolved": missing})
    no_names = F.array().cast("array<string>")
    flags = F.when(is_row(), quality.broken(table, Severity.FLAG, F.col("_unresolved"))).otherwise(no_names)
    return resolved.drop(*sources).withColumn("_flags", flags)


def _with_runs(fold: _Fold, rows: DataFrame) -> DataFrame:
    """Add what counts: `_counts` for a change that meets a live row or leaves one, `_starts` for the head of a run."""
    image = F.struct(is_row().alias("is_live"), *(F.col(name) for name in fold.table.tracked))
    survivors = rows.withColumns({"_stands": ~F.col("_is_superseded"), "_image": image})
    previous = F.last(F.when(F.col("_stands"), F.col("_image")), ignorenulls=True).over(fold.before)
    seen = survivors.withColumn("_previous", previous)
    met_a_row = F.coalesce(F.col("_previous.is_live"), F.lit(False))
    # A state row stands for the changes before it: it counts where one of them did, and its run began with their head.
    counts = F.when(F.col("_is_state"), F.col("_state_at").isNotNull()).otherwise(F.col("_stands") & (is_row() | met_a_row))
    continues = met_a_row & F.col("_previous").eqNullSafe(F.col("_image"))
    starts = F.col("_stands") & is_row() & ~continues
    return seen.withColumns({"_counts": counts, "_starts": starts}).drop("_image", "_previous", "_stands", "_is_superseded")


def _with_times(fold: _Fold, rows: DataFrame) -> DataFrame:
    """Add `_effective_at`: the greater of its own commit time and 1 µs after the previous change that counts.

    The source's clock may step back, a key's history may not. As a running maximum: number n takes effect at
    n + max(time of m - m, for m up to n). A change that does not count repeats what came before it.
    """
    counted = rows.withColumn("_number", F.count(F.when(F.col("_counts"), 1)).over(fold.so_far))
    own_us = F.unix_micros(F.when(F.col("_is_state"), F.col("_state_at")).otherwise(F.col("_commit_at")))
    shifted = F.max(F.when(F.col("_counts"), own_us - F.col("_number"))).over(fold.so_far)
    return counted.withColumn("_effective_at", F.timestamp_micros(shifted + F.col("_number"))).drop("_number")


def _with_versions(fold: _Fold, rows: DataFrame) -> DataFrame:
    """Add the version that the tail of each run carries, and `_last`; a row that carries none has NULL there."""
    here = F.struct(F.col("_effective_at").alias("at"), F.col("_lsn").alias("lsn"))
    began = F.when(F.col("_is_state"), F.col("_state_head")).otherwise(here)
    event = F.when(F.col("_counts"), F.struct(here.alias("here"), (F.col("_starts") | ~is_row()).alias("ends_run")))
    marked = rows.withColumns({"_began": F.when(F.col("_starts"), began), "_event": event})
    reached = marked.withColumns(
        {
            "_head": F.last("_began", ignorenulls=True).over(fold.so_far),
            "_next": fold.next_of("_event"),
            "_last": F.lead(F.lit(1)).over(fold.ordered).isNull(),
        }
    )
    is_tail = F.col("_counts") & is_row() & F.coalesce(F.col("_next.ends_run"), F.lit(True))
    shown = {
        "_valid_from": F.col("_head.at"),
        "_valid_to": F.col("_next.here.at"),
        "_from_lsn": F.col("_head.lsn"),
        "_to_lsn": F.col("_next.here.lsn"),
    }
    return reached.withColumn("_is_visible", is_tail).withColumns({name: F.when(is_tail, value) for name, value in shown.items()})


def _with_blocked(table: Table, rows: DataFrame, blocked: DataFrame | None) -> DataFrame:
    """Mark the open version of a key while a newer change of the key waits in quarantine."""
    if blocked is None:
        return rows.withColumn("_is_blocked", F.lit(False))
    waiting = blocked.groupBy(*table.key).agg(
        F.max(F.when(F.col("_lsn").isNotNull(), F.struct("_epoch", "_lsn"))).alias("_waiting"),
        F.max(F.when(F.col("_lsn").isNull(), F.col("_offset"))).alias("_waiting_offset"),
    )
    joined = rows.join(F.broadcast(waiting), on=list(table.key), how="left")
    # Offsets speak only where the waiting record's position cannot be read.
    is_newer = (F.col("_waiting") > F.struct("_epoch", "_lsn")) | (F.col("_waiting_offset") > F.col("_offset"))
    is_open = F.col("_last") & F.col("_is_visible")
    return joined.withColumn("_is_blocked", is_open & F.coalesce(is_newer, F.lit(False)))


def _changed(table: Table, rows: DataFrame, run: int) -> DataFrame:
    """The rows that differ from what is stored, and those of late keys, in the stored form, each column cast to its declared type."""
    form = stored_form(table)
    ready = rows.withColumns({"_previous_key": F.lit(None), "_run": F.lit(run)})
    typed = ready.select(*(F.col(column.name).cast(column.type).alias(column.name) for column in form.columns), "_old", "_is_late")
    content = [name for name in form.column_names if name not in _PLACEMENT]
    is_same_content = _same(content) & F.col("_old").isNotNull()
    kept = typed.withColumn("_run", F.when(is_same_content, F.col("_old._run")).otherwise(F.col("_run")))
    is_same = _same(list(form.column_names)) & F.col("_old").isNotNull()
    return kept.where(~is_same | F.col("_is_late")).select(*form.column_names, "_is_late")


def _same(names: list[str]) -> Column:
    return F.struct(*names).eqNullSafe(F.struct(*(F.col(f"_old.{name}").alias(name) for name in names)))
