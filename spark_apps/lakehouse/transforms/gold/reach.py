"""How far a change reaches: which keys changed since a run, and from which instant on their values may differ."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def changed_keys(changes: DataFrame, mark: int, key: str) -> DataFrame:
    """Distinct values of `key` among the stored changes that a run at or after the mark touched."""
    return changes.where(F.col("_run") >= mark).select(key).distinct()


def changed_since(changes: DataFrame, mark: int, key: str) -> DataFrame:
    """Per changed key `_since`, the instant before which its values stayed as they were; NULL where any instant may differ.

    A row's effective time may have been moved by the very run that changed it, but it never lies before its commit time (but for a
    read that found what was known, from which no value differs): the lesser of the two bounds where the row stood before. What stood
    before that bound is untouched. Where no version does, the key's first version may be another one now, and facts older than it
    take the first version: no bound.
    Holds for tracked columns; an untracked one takes its value from the end of a version.
    """
    is_changed = F.col("_run") >= mark
    bounds = changes.groupBy(key).agg(
        F.min(F.when(is_changed, F.least("_commit_at", "_effective_at"))).alias("_bound"),
        F.min(F.when(F.col("_is_visible"), F.col("_valid_from"))).alias("_first_from"),
        F.max(is_changed).alias("_is_changed"),
    )
    is_first_kept = F.col("_first_from") < F.col("_bound")
    return bounds.where("_is_changed").select(key, F.when(is_first_kept, F.col("_bound")).alias("_since"))


def differing_slices(rows: DataFrame, stored: DataFrame, slice_column: str) -> DataFrame:
    """The slices, as that one column, in which two frames of the same columns hold other rows; exact, NULLs being equal."""
    mine = rows.withColumn("_sign", F.lit(1))
    theirs = stored.select(*rows.columns).withColumn("_sign", F.lit(-1))
    surplus = mine.union(theirs).groupBy(*rows.columns).agg(F.sum("_sign").alias("_surplus"))
    return surplus.where("_surplus <> 0").select(slice_column).distinct()
