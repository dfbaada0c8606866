"""Forget a person: from every read at once, from the files once they are old enough, and from later records.

The key is entered in `silver.erasures`, with the keys of rows in other tables that ever named the person; then bronze, quarantine,
silver and gold are made to agree with the list. What arrives later is kept out by refine. Safe to run again, beside everything.
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
    """What was done: the key, keys of other tables' rows that named the person, tables that changed, and other keys of the person.

    `other_keys` are keys from which, or to which, a primary-key change led: the same person, forgotten only if asked for.
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
        raise EbapError(f"no record in the lake is of {table.name} {named}", "see whether the key is right, or refine it first")
    other_keys = _other_keys(spark, table, named)
    # The person first: a refine that still knew nothing of it has taken what is in bronze by now, so that the next look finds it.
    erasure_list.enter(spark, {table.name: frozenset({named})})
    linked = _all_linked(spark, table, named)
    if linked:
        erasure_list.enter(spark, linked)
    sources = [stored_schema.effective(spark, source) for source in erasure_list.personal_sources()]
    swept = {source.full_name: sweep.sweep(spark, settings, source) for source in sources}
    for source in sources:
        # Not only after a change: a run that was cut short may have left marked rows in the files.
        retry(partial(erasure_list.purge, spark, source))
    changed = [name for name, is_changed in swept.items() if is_changed] + _aggregated(spark, settings)
    counts = {name: len(keys) for name, keys in linked.items()}
    return Forgotten(table=table.name, key=named, linked=counts, changed=tuple(changed), other_keys=other_keys)


def personal(table_name: str) -> Table:
    """The source table of that name; EbapError where it holds nothing personal."""
    table = tables.source(table_name)
    known = erasure_list.personal_sources()
    if table not in known:
        raise EbapError(f"{table.name} holds no personal data", f"a row of {', '.join(t.name for t in known)} can be forgotten")
    return table


def canonical(table: Table, text: str) -> str:
    """The key as the list writes it, from a JSON object or, of one column, the plain value. Raises EbapError."""
    given = named_keys.parse(table, [text])
    if len(given) != 1:
        raise EbapError(f"{text!r} names {len(given)} keys of {table.name}", "give one")
    parts = [(name, table.column(name).type, part) for name, part in zip(table.key, given[0], strict=True)]
    values = tuple(reader(type_)(part) for _, type_, part in parts)
    faults = [f"{name} {part!r} is no {type_}" for (name, type_, part), value in zip(parts, values, strict=True) if value is None]
    if faults:
        raise EbapError(f"{text!r} is no key of {table.name}: {'; '.join(faults)}")
    return keys.as_json(table)(values)


def _all_linked(spark: SparkSession, table: Table, key: str) -> dict[str, frozenset[str]]:
    """Keys of rows that ever named this person, by table."""
    return {other.name: keys for other in tables.SOURCES if (keys := _linked(spark, other, table, key))}


def _linked(spark: SparkSession, other: Table, table: Table, key: str) -> frozenset[str]:
    """Keys of another table's rows that ever named this person: in silver, in bronze not refined yet, in quarantine."""
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
    """Keys that a primary-key change gave to, or took from, the rows of this key."""
    of_key = _of_key(erasure_list.read_records(spark, table), table, key)
    names = F.filter("headers", lambda header: header["key"].isin("__debezium.oldkey", "__debezium.newkey"))
    rows = of_key.select(F.explode(names).alias("header")).select(F.col("header.value").cast("string").alias("key")).distinct().collect()
    return tuple(sorted(row["key"] for row in rows if row["key"]))


def _aggregated(spark: SparkSession, settings: Settings) -> list[str]:
    """Bring gold up to silver; the tables that changed."""
    from lakehouse.gold import heavy_aggregate  # a verb stands above this package: reached only when it is to be run

    stored = [table for table in tables.GOLD if not table.is_view]
    made = [(table, heavy_aggregate.run(spark, settings, table.name)) for table in stored]
    return [table.full_name for table, result in made if result.changed]
