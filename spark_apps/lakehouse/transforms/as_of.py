"""Stored changes as they stood in a snapshot of the source: the newest change of each key that the snapshot has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.transforms import ordering

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.contract import Table


def settled(changes: DataFrame, is_unseen: Column) -> DataFrame:
    """The newest changes of keys whose newest change the snapshot has seen: nearly all of them."""
    return changes.where("_last").where(~is_unseen)


def moved_on(changes: DataFrame, table: Table, is_unseen: Column) -> DataFrame:
    """The newest change that the snapshot has seen of each other key; none of a key that was new."""
    key = list(table.key)
    keys = changes.where("_last").where(is_unseen).select(*key)
    whole = changes.join(keys, on=key, how="left_semi")
    # In order first, seen or not: a change that is left out may be what tells how two others stand.
    ordered = ordering.in_order(ordering.placed(whole), key)
    newest_first = Window.partitionBy(*key).orderBy(*(F.desc(name) for name in ordering.ORDER))
    seen = ordered.where(~is_unseen).withColumn("_place", F.row_number().over(newest_first))
    return seen.where("_place = 1").select(*changes.columns)
