"""Reconcile a source table: compare silver with a repeatable-read snapshot of the source, and report the keys that differ."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from lakehouse import arguments, tables
from lakehouse.errors import EbapError
from lakehouse.health import catch_up
from lakehouse.reconcile import compare, repair
from lakehouse.reconcile.compare import Outcome
from lakehouse.settings import Settings
from lakehouse.verbs import Call

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Of which silver's own run, every minute, takes the most.
WAIT_S = 600.0


def run(spark: SparkSession, settings: Settings, table_name: str) -> Outcome:
    """Compare one table; EbapError where it differs."""
    (outcome,) = compare.compare(spark, settings, [table_name], WAIT_S)
    if not outcome.is_equal:
        raise EbapError(f"{outcome}\n{table_name} differs", f"run `python -m lakehouse reconcile {table_name} --repair`")
    return outcome


def command(spark: SparkSession, settings: Settings, names: Sequence[str], is_repair: bool, timeout_s: float) -> int:
    """Compare these tables (all for none) and print what was found; 1 where a table differs, or still does after its repair."""
    give_up_at = time.monotonic() + timeout_s
    unequal = [o for o in _compared(spark, settings, names or [table.name for table in tables.SOURCES], timeout_s) if not o.is_equal]
    if not unequal or not is_repair:
        return int(bool(unequal))
    for outcome in unequal:
        print("\n".join(repair.send(settings, outcome)))
    repaired = [outcome.table.name for outcome in unequal]
    # What a snapshot reads comes when the connector gets to it: looked for until it is there.
    while unequal and time.monotonic() < give_up_at:
        passage = catch_up.CatchUp(settings=settings, give_up_at=give_up_at)
        catch_up.reach_silver(passage, repaired)
        unequal = [o for o in _compared(spark, settings, repaired, give_up_at - time.monotonic()) if not o.is_equal]
        repaired = [outcome.table.name for outcome in unequal]
    return int(bool(unequal))


def _compared(spark: SparkSession, settings: Settings, names: Sequence[str], timeout_s: float) -> list[Outcome]:
    outcomes = compare.compare(spark, settings, names, timeout_s)
    print("\n".join(map(str, outcomes)))
    return outcomes


def parse(argv: list[str]) -> Call:
    """What compares the one named table; EbapError where the arguments are not one table."""
    return partial(run, table_name=arguments.one_source(argv))
