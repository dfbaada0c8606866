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
    """Decoded or stored changes, those that are forgotten without their erased columns: a NULL that was received, no unknown value."""
    columns = {name: F.when(~is_forgotten, F.col(name)) for name in table.erased}
    is_left_alone = F.array_except("_unchanged", F.array(*map(F.lit, table.erased)))
    return rows.withColumns(
        {
            **columns,
            "_unchanged": F.when(is_forgotten, is_left_alone).otherwise(F.col("_unchanged")),
            "_content_hash": F.when(is_forgotten, F.lit(ERASED)).otherwise(F.col("_content_hash")),
        }
    )


def tells(decoded: DataFrame, table: Table, forgotten: DataFrame) -> DataFrame:
    """Records decoded with their values that hold something of the forgotten keys (`key`, a JSON object each)."""
    found = _marked(decoded, forgotten).where("_forgotten IS NOT NULL")
    return found if table.is_of_persons else found.where(F.col("_value_bytes") != F.col("_blanked"))


def kept_out(decoded: DataFrame, table: Table, forgotten: DataFrame) -> DataFrame:
    """Records decoded with their values without what they hold of the forgotten keys; in quarantine too it would come back."""
    marked = _marked(decoded, forgotten)
    if table.is_of_persons:
        return marked.where("_forgotten IS NULL").drop("_forgotten")
    is_forgotten = F.col("_forgotten").isNotNull()
    value = F.when(is_forgotten, F.col("_blanked")).otherwise(F.col("_value_bytes"))
    detail = F.when(~is_forgotten, F.col("_detail"))
    return blanked(marked, table, is_forgotten).withColumns({"_value_bytes": value, "_detail": detail}).drop("_forgotten")


def _marked(decoded: DataFrame, forgotten: DataFrame) -> DataFrame:
    listed = F.broadcast(forgotten.select(F.col("key").alias("_forgotten")))
    return decoded.join(listed, F.col("_named_key") == F.col("_forgotten"), how="left")


def names_in(rows: DataFrame, table: Table, of: Column, forgotten: Sequence[str]) -> DataFrame:
    """Keys, as the column `key`, of rows where `of` (a key, or an array of keys) is one of the forgotten persons."""
    listed = F.array(*map(F.lit, forgotten))
    return rows.where(F.arrays_overlap(of, listed)).select(key_json(table).alias("key"))
