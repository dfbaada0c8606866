"""Aggregate one gold table by Spark: recompute the slices that its inputs' changes reach, and replace those that came out different.

Does: what `lakehouse.gold.aggregate` does in the caller's own process for small work, from the same SQL, however many rows it takes.
Runs: over the warm server where Airflow's task found the work too large; by spark-submit: `aggregate.py TABLE [DAY ...]`.
Safe to run again: the same inputs give the same rows, and slices that came out equal are not written.
When it fails: the checkpoint stays, and the next run takes up the same changes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from lakehouse import verb
from lakehouse.gold.aggregate import AggregateError, AggregateResult, parse, run_by
from lakehouse.gold.heavy import Heavy
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["AggregateError", "AggregateResult", "asked", "run"]


def run(spark: SparkSession, settings: Settings, table_name: str, slices: Sequence[date] | None = None) -> AggregateResult:
    """Recompute the slices touched since the table's checkpoint, or exactly the given ones, which leaves the checkpoint where it is."""
    return run_by(Lake(settings), partial(Heavy, spark, settings), table_name, slices)


def asked(words: list[str]) -> verb.Call:
    """What aggregates the named table once: what its inputs changed, or the days given."""
    table_name, slices = parse(words)
    return partial(run, table_name=table_name, slices=slices)


if __name__ == "__main__":
    verb.main("aggregate", asked, sys.argv[1:])
