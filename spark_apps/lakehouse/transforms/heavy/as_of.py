"""Stored changes as of a snapshot of the source: the newest change of each key that the snapshot has seen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.transforms.heavy import routing, workers

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
    # All of them, seen or not: a change that is left out may be what tells how two others stand.
    whole = changes.join(keys, on=key, how="left_semi").select(*platform_tables.stored(table).column_names, is_unseen.alias(workers.UNSEEN))
    grouped = routing.grouped(whole, table, set())
    return grouped.mapInArrow(partial(workers.newest_seen, table=table), platform_tables.stored(table).schema_ddl())
