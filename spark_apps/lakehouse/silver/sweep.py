"""Enforcement of the list of forgotten keys: their data is removed from the lake, late records included.

The list is written first and everything else is derived from it, so that an interrupted run can be repeated.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import platform_tables, tables
from lakehouse.contract import Table
from lakehouse.errors import retry
from lakehouse.lake import state, storage
from lakehouse.settings import Settings
from lakehouse.silver import erasure_list
from lakehouse.silver.erasure_list import Forgotten
from lakehouse.transforms.heavy import decoding, erasing, folding, routing
from lakehouse.transforms.heavy.keys import key_json, person_json

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def kept_out(spark: SparkSession, settings: Settings, table: Table, decoded: DataFrame, forgotten: Forgotten) -> DataFrame:
    """A batch without data of forgotten keys, which is removed from bronze and quarantine too.

    The key of a row that names a forgotten person for the first time is added to the list.
    """
    if not forgotten:
        return decoded
    own = forgotten.get(table.name, frozenset()) | enter_linked(spark, table, decoded, forgotten)
    if not own:
        return decoded
    keys = erasure_list.as_frame(spark, sorted(own))
    least = erasing.holding_forgotten(decoded, table, keys).agg(F.min("_offset").alias("least")).first()
    if least is not None and least["least"] is not None:
        is_linked = own != forgotten.get(table.name, frozenset())
        sweep(spark, settings, table, from_offset=0 if is_linked else least["least"])
    return erasing.without_forgotten(decoded, table, keys)


def enter_linked(spark: SparkSession, table: Table, decoded: DataFrame, forgotten: Forgotten) -> frozenset[str]:
    """Add the keys of decoded rows that name a forgotten person to the list, and return them."""
    found: set[str] = set()
    for column in table.person_columns:
        persons = forgotten.get(column.person or "")
        if persons:
            of = F.array(person_json(column, tables.source(column.person or "")))
            found |= {row["key"] for row in erasing.referring_keys(decoded, table, of, sorted(persons)).distinct().collect()}
    if found:
        erasure_list.enter(spark, {table.name: frozenset(found)})
    return frozenset(found)


def settle(spark: SparkSession, settings: Settings, table: Table, forgotten: Forgotten) -> None:
    """Sweep again if the list has changed since it was read: what was written since then may hold data of the new keys."""
    if erasure_list.forgotten(spark, table) != forgotten:
        sweep(spark, settings, table)


def sweep(spark: SparkSession, settings: Settings, table: Table, from_offset: int = 0) -> bool:
    """Remove data of listed keys from the table's bronze records, quarantine and silver; whether there was any."""
    return retry(partial(_sweep, spark, settings, table, from_offset))


def _sweep(spark: SparkSession, settings: Settings, table: Table, from_offset: int) -> bool:
    own = erasure_list.forgotten(spark, table).get(table.name)
    if not own:
        return False
    keys = erasure_list.as_frame(spark, sorted(own))
    touched: set[str] = set()
    bronze = _found(table, erasure_list.read_records(spark, table, from_offset), keys)
    if listed := _keys(bronze):
        erasure_list.change_bronze(spark, table, bronze)
        touched |= listed
    quarantine = _found(table, storage.read_quarantine(spark, table), keys)
    if listed := _keys(quarantine):
        erasure_list.change_quarantine(spark, table, quarantine)
        touched |= listed
    touched |= _sweep_silver(spark, settings, table, keys)
    if touched:
        erasure_list.note_erased(spark, table, sorted(touched))
    return bool(touched)


def _found(table: Table, records: DataFrame, keys: DataFrame) -> DataFrame:
    """Records that hold data of these keys, computed, with their `_key` and `_blanked` value."""
    read = decoding.named(records, table)
    listed = F.broadcast(keys.select(F.col("key").alias("_key")))
    found = read.join(listed, on="_key", how="left_semi")
    return (found if table.is_of_persons else found.where(F.col("value") != F.col("_blanked"))).localCheckpoint()


def _keys(found: DataFrame) -> set[str]:
    return {row["_key"] for row in found.select("_key").distinct().collect()}


def _sweep_silver(spark: SparkSession, settings: Settings, table: Table, keys: DataFrame) -> set[str]:
    read_at = storage.silver_version(spark, table)
    stored = storage.read_silver_changes(spark, table).withColumn("_key", key_json(table))
    listed = F.broadcast(keys.select(F.col("key").alias("_key")))
    left = stored if table.is_of_persons else stored.where(F.col("_content_hash") != erasing.ERASED)
    found = left.join(listed, on="_key", how="left_semi").select("_key", *table.key).distinct().localCheckpoint()
    touched = _keys(found)
    if not touched:
        return touched
    if table.is_of_persons:
        erasure_list.remove_from_silver(spark, table, found.select(*table.key))
    else:
        # A moved row takes values from its old key, forgotten or not.
        reached, _, _ = routing.closure(table, found.select(*table.key).distinct(), set(), stored, stored)
        every = stored.join(F.broadcast(reached), on=list(table.key), how="left_semi")
        rows = every.join(listed.withColumn("_is_listed", F.lit(True)), on="_key", how="left")
        storage.merge_silver(
            spark, table, _folded_again(spark, settings, table, rows.drop("_key")), only_last=False, bounds=None, read_at=read_at
        )
    erasure_list.purge(spark, table)
    return touched


def _folded_again(spark: SparkSession, settings: Settings, table: Table, rows: DataFrame) -> DataFrame:
    """The stored changes, blanked where `_is_listed`, folded again: a change of an erased column opens no version."""
    # A new `_run`, so that gold recomputes these rows.
    now, known = storage.bronze_version(spark), state.store(settings).read(table)
    blanked = erasing.blanked(rows, table, F.coalesce("_is_listed", F.lit(False))).drop("_is_listed")
    blanked = blanked.withColumn("_run", F.lit(now).cast("BIGINT")).localCheckpoint()
    folded, _ = folding.fold_all(
        folding.Incoming(table=table, changes=decoding.nothing(spark, table), run=now, truncates=known.truncates), blanked
    )
    identity = list(platform_tables.stored(table).key)
    # Quarantine is not read here, and blocked keys have not changed.
    waiting = blanked.select(*identity, F.col("_is_blocked").alias("_was_blocked"))
    kept = folded.join(waiting, on=identity, how="left").withColumn("_is_blocked", F.col("_was_blocked"))
    return kept.select(*platform_tables.stored(table).column_names).localCheckpoint()
