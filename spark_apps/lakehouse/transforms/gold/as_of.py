"""What was true of a row's user or product at an instant: exactly one version per fact, whatever the history looks like."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def as_of(facts: DataFrame, versions: DataFrame, *, key: str, at: str, values: Sequence[str], assumed: str) -> DataFrame:
    """`facts` with the columns `values` of the version of `key` at the instant `at`, and the boolean column `assumed`.

    One row out per row in. The version is the last one begun at or before the instant, where there is none the first one;
    `assumed` says that it was not valid at the instant: the fact is older than the first version, it lies in the gap after a
    delete, or nothing is known of the key (the values are then NULL). A NULL key has NULL values and assumes nothing.

    Facts and versions are merged in the order of time within each key instead of joined: a join on the key alone pairs every
    line of a product with every price it ever had, which grows with the square of what is sold.
    """
    version = F.struct(*values, "_valid_from", "_valid_to").alias("_version")
    moments = versions.select(key, F.col("_valid_from").alias("_at"), F.lit(0).alias("_is_fact"), version)
    asked = facts.withColumns({"_at": F.col(at), "_is_fact": F.lit(1)})
    merged = asked.unionByName(moments, allowMissingColumns=True)

    # A version that begins at the very instant of a fact comes before it: validity is half-open, [_valid_from, _valid_to).
    so_far = Window.partitionBy(key).orderBy("_at", "_is_fact").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    ever = Window.partitionBy(key)
    first = F.min_by("_version", F.col("_version._valid_from")).over(ever)
    found = F.coalesce(F.last("_version", ignorenulls=True).over(so_far), first)
    return (
        merged.withColumn("_found", found)
        .where("_is_fact = 1")
        .select(
            *facts.columns,
            *(F.col(f"_found.{name}").alias(name) for name in values),
            (F.col(key).isNotNull() & ~_is_valid(F.col("_found"), F.col("_at"))).alias(assumed),
        )
    )


def _is_valid(version: Column, at: Column) -> Column:
    """Whether the version was valid at the instant; false where either is unknown."""
    is_begun = version["_valid_from"] <= at
    is_open = version["_valid_to"].isNull() | (at < version["_valid_to"])
    return F.coalesce(is_begun & is_open, F.lit(False))
