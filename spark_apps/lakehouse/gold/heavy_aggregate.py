"""Aggregate one gold table by Spark: recompute the slices that its inputs' changes affect, and replace those that differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from lakehouse.gold import aggregate
from lakehouse.gold.aggregate import AggregateResult, run_by
from lakehouse.gold.heavy import Heavy
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.verbs import Call

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: SparkSession, settings: Settings, table_name: str, slices: Sequence[date] | None = None) -> AggregateResult:
    """Recompute the slices affected since the table's checkpoint, or exactly the given ones, which keeps the checkpoint."""
    return run_by(Lake(settings), partial(Heavy, spark, settings), table_name, slices)


def parse(argv: list[str]) -> Call:
    """What aggregates the named table once: what its inputs changed, or the days given."""
    table_name, slices = aggregate.parse(argv)
    return partial(run, table_name=table_name, slices=slices)
