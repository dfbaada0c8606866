"""Partitioning for Python workers: rows of a key and of all keys linked to it are in one partition."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.transforms.heavy.keys import key_json, other_key
from lakehouse.transforms.heavy.workers import GROUP
from lakehouse.transforms.history.links import closure as closure_of
from lakehouse.transforms.history.links import components

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Pairs of keys linked by a key change, as JSON.
Links = set[tuple[str, str]]
_TEXT = "_key_text"


def linked_keys(rows: DataFrame, table: Table) -> DataFrame:
    """The keys in `_linked_key` of the rows, in the key's columns."""
    return rows.where("_linked_key IS NOT NULL").select(*other_key(table))


def links(rows: DataFrame, table: Table) -> Links:
    """Pairs of keys linked by key changes among the rows, as JSON; they are few, so they are collected."""
    found = rows.where("_linked_key IS NOT NULL").select(key_json(table).alias(_TEXT), "_linked_key").distinct()
    return {(row[_TEXT], row["_linked_key"]) for row in found.collect()}


def grouped(rows: DataFrame, table: Table, linked: Links) -> DataFrame:
    """The rows with GROUP, partitioned and sorted by it; linked keys share a group.

    Unlinked keys may share a group by hash collision, without effect.
    """
    own = F.xxhash64(*table.key)
    if not linked:
        named = rows.withColumn(GROUP, own)
    else:
        members = rows.sparkSession.createDataFrame(_groups(linked), f"{_TEXT} STRING, _linked_group BIGINT")
        joined = rows.withColumn(_TEXT, key_json(table)).join(F.broadcast(members), on=_TEXT, how="left")
        named = joined.withColumn(GROUP, F.coalesce("_linked_group", own)).drop(_TEXT, "_linked_group")
    return named.repartition(GROUP).sortWithinPartitions(GROUP)


def closure(table: Table, keys: DataFrame, linked: Links, near: DataFrame, stored: DataFrame) -> tuple[DataFrame, Links, bool]:
    """The keys and all keys linked to them by stored key changes, directly or transitively; all links; whether all are in `near`.

    `near` are the stored rows of the keys and more; for other keys, `stored` is read. `linked` are known links, whose keys are among
    `keys`.
    """
    known = set(linked)

    def others(rows: DataFrame, reached: DataFrame) -> set[str]:
        found = links(rows.where("_linked_key IS NOT NULL").join(reached, on=list(table.key), how="left_semi"), table)
        known.update(found)
        return {other for _, other in found}

    is_near = not linked
    start = others(near if is_near else stored, keys)
    if not start:
        return keys, known, is_near
    gathered = [keys]

    def linked_with(texts: set[str]) -> set[str]:
        gathered.append(_named(keys, table, texts).localCheckpoint())
        return others(stored, gathered[-1])

    closure_of(start, linked_with)
    return reduce(lambda one, more: one.unionByName(more), gathered).distinct().localCheckpoint(), known, False


def with_linked(keys: DataFrame, table: Table, linked: Links) -> DataFrame:
    """The keys and all keys joined to them by these links, directly or transitively."""
    if not linked:
        return keys
    groups = _groups(linked)
    members = keys.sparkSession.createDataFrame(groups, f"{_TEXT} STRING, _linked_group BIGINT")
    met = keys.select(key_json(table).alias(_TEXT)).join(F.broadcast(members), on=_TEXT).select("_linked_group").distinct()
    numbers = {row["_linked_group"] for row in met.collect()}
    more = {text for text, number in groups if number in numbers}
    return keys.unionByName(_named(keys, table, more)).distinct() if more else keys


def _named(keys: DataFrame, table: Table, texts: set[str]) -> DataFrame:
    named = keys.sparkSession.createDataFrame([(text,) for text in sorted(texts)], "_linked_key STRING")
    return linked_keys(named, table)


def _groups(linked: Links) -> list[tuple[str, int]]:
    return [(key, number) for number, keys in enumerate(components(sorted(linked))) for key in keys]
