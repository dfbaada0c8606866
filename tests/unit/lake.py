"""A lake into which records of Debezium's form are landed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakehouse import platform_tables, tables
from lakehouse.lake import state, storage
from lakehouse.lake.state import TableState
from lakehouse.settings import Settings
from lakehouse.silver import heavy_refine
from tests.unit.records import Records, seconds, user

__all__ = ["Lake", "user"]

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Lake(Records):
    """One lake; offsets count on from 1, and what is landed is of `epoch`."""

    def __init__(self, spark: SparkSession, settings: Settings) -> None:
        super().__init__()
        self.spark, self.settings = spark, settings

    def append(self, rows: Sequence[tuple[Any, ...]]) -> None:
        frame = self.spark.createDataFrame([*rows], platform_tables.CHANGES.schema_ddl())
        frame.write.format("delta").mode("append").insertInto(storage.BRONZE)

    def refine(self, table: str) -> heavy_refine.RefineResult:
        return heavy_refine.run(self.spark, self.settings, table)

    def history(self, table: str, key: int) -> list[tuple[Any, ...]]:
        """Tier, start and end in seconds, and whether blocked, of each version of a user."""
        rows = self.spark.table(f"silver.{table}_history").where(f"user_id = {key}").orderBy("_valid_from").collect()
        return [(r["tier"], seconds(r["_valid_from"]), seconds(r["_valid_to"]), r["_is_blocked"]) for r in rows]

    def version(self, table: str) -> int:
        return storage.silver_version(self.spark, tables.source(table))

    def state(self, table: str) -> TableState:
        return state.store(self.settings).read(tables.source(table))

    def write_state(self, table: str, **values: Any) -> None:
        """Give the table's state these values, as nobody does outside of tests."""
        known = self.state(table)
        state.store(self.settings).advance(known, replace(known, **values))
