"""Erasure of forgotten persons in stored rows and decoded records, for DataFrames; see `records.erasing`.

Keys are JSON objects as Spark writes them, in the order of the declaration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.transforms.heavy.keys import key_json
from lakehouse.transforms.records.erasing import ERASED

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def blanked(rows: DataFrame, table: Table, is_forgotten: Column) -> DataFrame:
    """Decoded or stored changes; forgotten ones have NULL in their erased columns, as if received so."""
    columns = {name: F.when(~is_forgotten, F.col(name)) for name in table.erased}
    still_unchanged = F.array_except("_unchanged", F.array(*map(F.lit, table.erased)))
    return rows.withColumns(
        {
            **columns,
            "_unchanged": F.when(is_forgotten, still_unchanged).otherwise(F.col("_unchanged")),
            "_content_hash": F.when(is_forgotten, F.lit(ERASED)).otherwise(F.col("_content_hash")),
        }
    )


def holding_forgotten(decoded: DataFrame, table: Table, forgotten: DataFrame) -> DataFrame:
    """Records decoded with their values that hold data of the forgotten keys (`key`, a JSON object each)."""
    found = _with_forgotten(decoded, forgotten).where("_forgotten IS NOT NULL")
    return found if table.is_of_persons else found.where(F.col("_value_bytes") != F.col("_blanked"))


def without_forgotten(decoded: DataFrame, table: Table, forgotten: DataFrame) -> DataFrame:
    """Records decoded with their values, without data of forgotten keys, quarantined ones included."""
    joined = _with_forgotten(decoded, forgotten)
    if table.is_of_persons:
        return joined.where("_forgotten IS NULL").drop("_forgotten")
    is_forgotten = F.col("_forgotten").isNotNull()
    value = F.when(is_forgotten, F.col("_blanked")).otherwise(F.col("_value_bytes"))
    detail = F.when(~is_forgotten, F.col("_detail"))
    return blanked(joined, table, is_forgotten).withColumns({"_value_bytes": value, "_detail": detail}).drop("_forgotten")


def _with_forgotten(decoded: DataFrame, forgotten: DataFrame) -> DataFrame:
    listed = F.broadcast(forgotten.select(F.col("key").alias("_forgotten")))
    return decoded.join(listed, F.col("_named_key") == F.col("_forgotten"), how="left")


def referring_keys(rows: DataFrame, table: Table, of: Column, forgotten: Sequence[str]) -> DataFrame:
    """Keys, as the column `key`, of rows where `of` (a key or an array of keys) contains a forgotten person."""
    listed = F.array(*map(F.lit, forgotten))
    return rows.where(F.arrays_overlap(of, listed)).select(key_json(table).alias("key"))
