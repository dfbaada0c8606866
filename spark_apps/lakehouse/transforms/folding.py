"""The fold of one key: its changes, in order, become the versions they make.

In the order of `ordering`: unchanged values are inherited through every change; then only the last state of a transaction counts;
then a run of rows equal on the tracked columns is one version, which starts at its head's time and carries its tail's values. A row
that a primary-key change brought starts a version whatever it equals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.contract import Severity, Table
from lakehouse.transforms import keychanges, ordering, quality

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, WindowSpec


@dataclass(frozen=True)
class Fold:
    """The windows of one table: a key's changes in order, up to each and before each.

    `has_links`: primary-key changes are among them. `has_truncates`: truncates are, those without meaning marked `_is_void`.
    """

    table: Table
    has_links: bool
    has_truncates: bool

    @property
    def members(self) -> list[str]:
        """What a key's changes have in common; a truncate that is void stands by itself."""
        return [*self.table.key, *(["_is_void"] if self.has_truncates else [])]

    @property
    def ordered(self) -> WindowSpec:
        return Window.partitionBy(*self.members).orderBy(*ordering.ORDER)

    @property
    def so_far(self) -> WindowSpec:
        return self.ordered.rowsBetween(Window.unboundedPreceding, Window.currentRow)

    @property
    def before(self) -> WindowSpec:
        return self.ordered.rowsBetween(Window.unboundedPreceding, -1)

    def next_of(self, column: str) -> Column:
        """The next value of `column` that is not NULL; a frame that reaches to the end would cost the square of the key's length."""
        keys = ", ".join(f"`{name}`" for name in self.members)
        return F.expr(f"lead({column}) IGNORE NULLS OVER (PARTITION BY {keys} ORDER BY {', '.join(ordering.ORDER)})")


def with_void(fold: Fold, rows: DataFrame) -> DataFrame:
    """Add `_is_void`: a truncate that meets no row of a key is nothing to that key. Only those that are stored stay, to be put out."""
    if not fold.has_truncates:
        return rows
    in_order = Window.partitionBy(*fold.table.key).orderBy(*ordering.ORDER)
    met_a_row = F.col("_is_state") | F.coalesce(F.lag(F.col("_is_row")).over(in_order), F.lit(False))
    marked = rows.withColumn("_is_void", (F.col("_kind") == ordering.TRUNCATE) & ~met_a_row)
    return marked.where(~F.col("_is_void") | F.col("_old").isNotNull())


def with_inherited(fold: Fold, rows: DataFrame) -> DataFrame:
    """Fill unchanged values from the nearest earlier change that carried them; a delete ends a life, and inheritance with it.

    A real NULL is a value. What stays unknown is NULL and named in `_unresolved`. A row that a key change brought inherits from the
    old key, by `_given` of `keychanges`, and from nothing under its own.
    """
    table = fold.table
    values = [name for name in table.column_names if name not in table.key]
    carried = {name: F.col("_is_row") & ~F.array_contains("_blank", name) for name in values}

    def carrier(name: str) -> Column:
        type_ = table.column(name).type
        nothing = F.struct(F.lit(False).alias("is_found"), F.lit(None).cast(type_).alias("value"))
        found = F.when(~F.col("_is_row"), nothing).when(carried[name], F.struct(F.lit(True).alias("is_found"), F.col(name).alias("value")))
        if not fold.has_links:
            return found
        given = F.struct((~F.array_contains("_given._unresolved", name)).alias("is_found"), F.col(f"_given.{name}").alias("value"))
        return found.when(keychanges.is_moved_in(), F.coalesce(F.when(F.col("_given").isNotNull(), given), nothing))

    sources = {f"_from_{name}": F.last(carrier(name), ignorenulls=True).over(fold.so_far) for name in values}
    own = ordering.transaction()
    found = rows.withColumns({**sources, "_is_superseded": F.coalesce(own == F.lead(own).over(fold.ordered), F.lit(False))})
    is_found = {name: F.coalesce(F.col(f"_from_{name}.is_found"), F.lit(False)) for name in values}
    missing = F.array_compact(F.array(*(F.when(F.col("_is_row") & ~is_found[name], F.lit(name)) for name in values)).cast("array<string>"))
    filled = {name: F.when(F.col("_is_row") & is_found[name], F.col(f"_from_{name}.value")) for name in values}
    resolved = found.withColumns({**filled, "_unresolved": missing})
    no_names = F.array().cast("array<string>")
    flags = F.when(F.col("_is_row"), quality.broken(table, Severity.FLAG, F.col("_unresolved"))).otherwise(no_names)
    return resolved.drop(*sources).withColumn("_flags", flags)


def with_moved(fold: Fold, rows: DataFrame) -> DataFrame:
    """`with_inherited` across keys, with `_moved_from`: fold, hand over what each old key left, and again until that stays the same.

    A row may have moved several times; each round reaches one move further, and a log holds no circle.
    """
    table, place = fold.table, [*fold.table.key, "_epoch", "_lsn"]
    ordered = rows.localCheckpoint()
    nothing = ordered.withColumn("_given", F.lit(None).cast(keychanges.given_type(table)))
    inherited, handed_over = with_inherited(fold, nothing), None
    while True:
        moved = keychanges.with_origin(inherited, table, fold.ordered, fold.so_far)
        given = keychanges.given(moved, table, fold.ordered).localCheckpoint()
        found = given.agg(F.count(F.lit(1)), F.sum(F.xxhash64("*").cast("DECIMAL(20,0)"))).first()
        if found == handed_over:
            return moved
        handed_over = found
        joined = ordered.join(given, on=place, how="left")
        inherited = with_inherited(fold, joined.withColumn("_given", F.when(keychanges.is_moved_in(), F.col("_given"))))


def with_runs(fold: Fold, rows: DataFrame) -> DataFrame:
    """Add `_counts` for a change that meets a live row or leaves one, `_starts` for the head of a run, `_is_seen_again` for a read that
    found what was known.
    """
    image = F.struct(F.col("_is_row").alias("is_live"), *(F.col(name) for name in fold.table.tracked))
    survivors = rows.withColumns({"_stands": ~F.col("_is_superseded"), "_image": image})
    previous = F.last(F.when(F.col("_stands"), F.col("_image")), ignorenulls=True).over(fold.before)
    seen = survivors.withColumn("_previous", previous)
    met_a_row = F.coalesce(F.col("_previous.is_live"), F.lit(False))
    # A state row stands for the changes before it: it counts where one of them did, and its run began with their head.
    counts = F.when(F.col("_is_state"), F.col("_state_at").isNotNull()).otherwise(F.col("_stands") & (F.col("_is_row") | met_a_row))
    continues = met_a_row & F.col("_previous").eqNullSafe(F.col("_image"))
    if fold.has_links:
        continues = continues & F.col("_moved_from").isNull()
    starts = F.col("_stands") & F.col("_is_row") & ~continues
    verdicts = {"_counts": counts, "_starts": starts, "_is_seen_again": continues & (F.col("_kind") == ordering.READ)}
    return seen.withColumns(verdicts).drop("_image", "_previous", "_stands", "_is_superseded")


def with_times(fold: Fold, rows: DataFrame) -> DataFrame:
    """Add `_effective_at`: the greater of its own commit time and 1 µs after the previous change that counts.

    The source's clock may step back, a key's history may not. As a running maximum: number n takes effect at
    n + max(time of m - m, for m up to n). A change that does not count repeats what came before it, and so does a read that found
    what was known: when Debezium looked is no time of the row's. A read of an incremental snapshot bears the time of its chunk's end,
    and stands before changes that were committed since its query.
    """
    ticks = F.col("_counts") & ~F.col("_is_seen_again")
    counted = rows.withColumn("_number", F.count(F.when(ticks, 1)).over(fold.so_far))
    own_us = F.unix_micros(F.when(F.col("_is_state"), F.col("_state_at")).otherwise(F.col("_commit_at")))
    shifted = F.max(F.when(ticks, own_us - F.col("_number"))).over(fold.so_far)
    return counted.withColumn("_effective_at", F.timestamp_micros(shifted + F.col("_number"))).drop("_number", "_is_seen_again")


def with_versions(fold: Fold, rows: DataFrame) -> DataFrame:
    """Add the version that the tail of each run carries, and `_last`; a row that carries none has NULL there."""
    here = F.struct(F.col("_effective_at").alias("at"), F.col("_lsn").alias("lsn"))
    moved_from = F.col("_moved_from") if fold.has_links else F.lit(None).cast("STRING")
    head = F.struct(F.col("_effective_at").alias("at"), F.col("_lsn").alias("lsn"), moved_from.alias("previous_key"))
    began = F.when(F.col("_is_state"), F.col("_state_head")).otherwise(head)
    event = F.when(F.col("_counts"), F.struct(here.alias("here"), (F.col("_starts") | ~F.col("_is_row")).alias("ends_run")))
    marked = rows.withColumns({"_began": F.when(F.col("_starts"), began), "_event": event})
    reached = marked.withColumns(
        {
            "_head": F.last("_began", ignorenulls=True).over(fold.so_far),
            "_next": fold.next_of("_event"),
            "_last": F.lead(F.lit(1)).over(fold.ordered).isNull() & (~F.col("_is_void") if fold.has_truncates else F.lit(True)),
        }
    )
    is_tail = F.col("_counts") & F.col("_is_row") & F.coalesce(F.col("_next.ends_run"), F.lit(True))
    shown = {
        "_valid_from": F.col("_head.at"),
        "_valid_to": F.col("_next.here.at"),
        "_from_lsn": F.col("_head.lsn"),
        "_to_lsn": F.col("_next.here.lsn"),
        "_previous_key": F.col("_head.previous_key"),
    }
    return reached.withColumn("_is_visible", is_tail).withColumns({name: F.when(is_tail, value) for name, value in shown.items()})
