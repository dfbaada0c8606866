"""Stored changes as of a snapshot of the source: the newest change of each key visible to the snapshot."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.transforms.heavy import routing, workers

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.contract import Table


def settled(changes: DataFrame, is_unseen: Column) -> DataFrame:
    """The newest changes of keys whose newest change is visible to the snapshot: nearly all keys."""
    return changes.where("_last").where(~is_unseen)


def moved_on(changes: DataFrame, table: Table, is_unseen: Column) -> DataFrame:
    """The newest visible change of each other key; none for a key that the snapshot does not contain."""
    key = list(table.key)
    keys = changes.where("_last").where(is_unseen).select(*key)
    # Including changes not visible to the snapshot: one of them may decide the order of two others.
    whole = changes.join(keys, on=key, how="left_semi").select(*platform_tables.stored(table).column_names, is_unseen.alias(workers.UNSEEN))
    grouped = routing.grouped(whole, table, set())
    return grouped.mapInArrow(partial(workers.newest_seen, table=table), platform_tables.stored(table).schema_ddl())
