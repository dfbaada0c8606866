"""Forget a person: queries no longer return the data; files lose it with the next compaction after their retention.

The key is added to `silver.erasures`, with the keys of rows in other tables that ever named the person; then their data is removed from
bronze, quarantine, silver and gold. Refine removes data that arrives later. Safe to repeat and to run beside other jobs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import keys as named_keys
from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.errors import EbapError, retry
from lakehouse.lake import storage, stored_schema
from lakehouse.settings import Settings
from lakehouse.silver import erasure_list, sweep
from lakehouse.transforms.heavy import decoding, erasing
from lakehouse.transforms.heavy.keys import key_json, person_json
from lakehouse.transforms.records import keys
from lakehouse.transforms.records.values import reader

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """Result: the key, the number of rows of other tables that named the person, tables that changed, and other keys of the person.

    `other_keys` are keys that primary-key changes link to this one; each is forgotten only on request.
    """

    table: str
    key: str
    linked: dict[str, int]
    changed: tuple[str, ...]
    other_keys: tuple[str, ...]


def run(spark: SparkSession, settings: Settings, table_name: str, key: str) -> Forgotten:
    """Forget that key of that source table. Raises EbapError."""
    table = personal(table_name)
    named = canonical(table, key)
    listed = erasure_list.forgotten(spark, table).get(table.name, frozenset())
    if named not in listed and not _is_known(spark, table, named) and not _all_linked(spark, table, named):
        raise EbapError(f"the lake has no record of {table.name} {named}", "check the key, or refine the table first")
    other_keys = _other_keys(spark, table, named)
    # The person first: rows that a concurrent refine wrote without the new entry are found by the second search.
    erasure_list.enter(spark, {table.name: frozenset({named})})
    linked = _all_linked(spark, table, named)
    if linked:
        erasure_list.enter(spark, linked)
    sources = [stored_schema.effective(spark, source) for source in erasure_list.personal_sources()]
    swept = {source.full_name: sweep.sweep(spark, settings, source) for source in sources}
    for source in sources:
        # Not only after a change: an interrupted run may have left deleted rows in the files.
        retry(partial(erasure_list.purge, spark, source))
    changed = [name for name, is_changed in swept.items() if is_changed] + _aggregated(spark, settings)
    counts = {name: len(keys) for name, keys in linked.items()}
    return Forgotten(table=table.name, key=named, linked=counts, changed=tuple(changed), other_keys=other_keys)


def personal(table_name: str) -> Table:
    """The source table of that name; EbapError if it holds no personal data."""
    table = tables.source(table_name)
    known = erasure_list.personal_sources()
    if table not in known:
        raise EbapError(f"{table.name} holds no personal data", f"a row of {', '.join(t.name for t in known)} can be forgotten")
    return table


def canonical(table: Table, text: str) -> str:
    """The key as stored in the list, from a JSON object or, for a key of one column, the plain value. Raises EbapError."""
    parsed = named_keys.parse(table, [text])
    if len(parsed) != 1:
        raise EbapError(f"{text!r} names {len(parsed)} keys of {table.name}", "give one")
    parts = [(name, table.column(name).type, part) for name, part in zip(table.key, parsed[0], strict=True)]
    values = tuple(reader(type_)(part) for _, type_, part in parts)
    faults = [f"{name} {part!r} is not a {type_}" for (name, type_, part), value in zip(parts, values, strict=True) if value is None]
    if faults:
        raise EbapError(f"{text!r} is not a key of {table.name}: {'; '.join(faults)}")
    return keys.as_json(table)(values)


def _all_linked(spark: SparkSession, table: Table, key: str) -> dict[str, frozenset[str]]:
    """Keys of rows that have ever named this person, by table."""
    return {other.name: keys for other in tables.SOURCES if (keys := _linked(spark, other, table, key))}


def _linked(spark: SparkSession, other: Table, table: Table, key: str) -> frozenset[str]:
    """Keys of another table's rows that have ever named this person: in silver, bronze and quarantine."""
    found: list[DataFrame] = []
    for column in other.person_columns:
        if column.person == table.name:
            stored = storage.read_silver_changes(spark, other)
            found.append(erasing.referring_keys(stored, other, F.array(person_json(column, table)), [key]))
            for records in _records(spark, other):
                named = decoding.named(records.select("key", "value"), other, column, table)
                found.append(named.where(F.array_contains("_persons", key)).select(F.col("_key").alias("key")))
    if not found:
        return frozenset()
    rows = reduce(lambda one, more: one.union(more), found).distinct().collect()
    return frozenset(row["key"] for row in rows if len(json.loads(row["key"] or "{}")) == len(other.key))


def _records(spark: SparkSession, table: Table) -> tuple[DataFrame, DataFrame]:
    return erasure_list.read_records(spark, table), storage.read_quarantine(spark, table)


def _is_known(spark: SparkSession, table: Table, key: str) -> bool:
    stored = storage.read_silver_changes(spark, table).where(key_json(table) == key)
    records = (_of_key(records, table, key) for records in _records(spark, table))
    return not stored.isEmpty() or any(not found.isEmpty() for found in records)


def _of_key(records: DataFrame, table: Table, key: str) -> DataFrame:
    """The records of that key, whether or not they can be read."""
    return decoding.named(records, table).where(F.col("_key") == key)


def _other_keys(spark: SparkSession, table: Table, key: str) -> tuple[str, ...]:
    """Keys that primary-key changes link to this key."""
    of_key = _of_key(erasure_list.read_records(spark, table), table, key)
    names = F.filter("headers", lambda header: header["key"].isin("__debezium.oldkey", "__debezium.newkey"))
    rows = of_key.select(F.explode(names).alias("header")).select(F.col("header.value").cast("string").alias("key")).distinct().collect()
    return tuple(sorted(row["key"] for row in rows if row["key"]))


def _aggregated(spark: SparkSession, settings: Settings) -> list[str]:
    """Aggregate every gold table; the tables that changed."""
    from lakehouse.gold import heavy_aggregate  # imported only when it runs

    stored = [table for table in tables.GOLD if not table.is_view]
    results = [(table, heavy_aggregate.run(spark, settings, table.name)) for table in stored]
    return [table.full_name for table, result in results if result.changed]
