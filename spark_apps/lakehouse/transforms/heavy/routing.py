"""Partitioning for Python workers: rows of a key, and of all keys that key changes link with it, come together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.transforms.heavy.workers import GROUP

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# Two keys that a key change links, as JSON, each pair.
Links = set[tuple[str, str]]
# As `records.keys.as_json` writes a key.
_JSON = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
_TEXT = "_key_text"


def key_json(table: Table) -> Column:
    """The key of a row as `_linked_key` names it."""
    return F.to_json(F.struct(*table.key), _JSON)


def other_key(table: Table) -> list[Column]:
    """The key columns of `_linked_key`."""
    other = F.from_json("_linked_key", ", ".join(f"`{name}` {table.column(name).type}" for name in table.key), _JSON)
    return [other[name].alias(name) for name in table.key]


def linked_keys(rows: DataFrame, table: Table) -> DataFrame:
    """The keys that key changes among the rows name, in the key's columns."""
    return rows.where("_linked_key IS NOT NULL").select(*other_key(table))


def links(rows: DataFrame, table: Table) -> Links:
    """Which keys the key changes among the rows link, as JSON: few, so they are collected."""
    found = rows.where("_linked_key IS NOT NULL").select(key_json(table).alias(_TEXT), "_linked_key").distinct()
    return {(row[_TEXT], row["_linked_key"]) for row in found.collect()}


def grouped(rows: DataFrame, table: Table, linked: Links) -> DataFrame:
    """The rows with GROUP, partitioned by it and sorted by it within each partition; keys that are linked have one in common.

    That keys without a link meet in a group by chance is possible, and harmless.
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
    """The keys with all that stored key changes link them with, directly or through others; all links; whether all stored are near.

    `near` are the stored rows of the keys and more: of keys beyond, all of them are asked. `linked` are links known already, whose keys
    are among `keys`.
    """
    key, seen, is_near = list(table.key), set[str](), not linked
    near, reached = near if is_near else stored, keys
    while True:
        found = links(near.where("_linked_key IS NOT NULL").join(reached, on=key, how="left_semi"), table)
        linked = linked | found
        fresh = {other for _, other in found} - seen
        if not fresh:
            return keys, linked, is_near
        seen |= fresh
        near, is_near = stored, False
        reached = _named(keys, table, fresh).localCheckpoint()
        keys = keys.unionByName(reached).distinct().localCheckpoint()


def with_linked(keys: DataFrame, table: Table, linked: Links) -> DataFrame:
    """The keys with all that these links join to one of them, directly or through others."""
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
    from lakehouse.transforms.history.moves import components

    neighbours: dict[str, set[str]] = {}
    for one, other in sorted(linked):
        neighbours.setdefault(one, set()).add(other)
        neighbours.setdefault(other, set()).add(one)
    return [(key, number) for number, keys in enumerate(components(neighbours)) for key in keys]
