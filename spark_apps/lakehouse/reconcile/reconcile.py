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

# Most of it is the wait for silver's run, which starts every minute.
WAIT_S = 600.0


def run(spark: SparkSession, settings: Settings, table_name: str) -> Outcome:
    """Compare one table; EbapError if it differs."""
    (outcome,) = compare.compare(spark, settings, [table_name], WAIT_S)
    if not outcome.is_equal:
        raise EbapError(f"{outcome}\n{table_name} differs", f"run `python -m lakehouse reconcile {table_name} --repair`")
    return outcome


def command(spark: SparkSession, settings: Settings, names: Sequence[str], is_repair: bool, timeout_s: float) -> int:
    """Compare these tables (none means all) and print the results; 1 if a table differs, after its repair if that was requested."""
    give_up_at = time.monotonic() + timeout_s
    unequal = [o for o in _compared(spark, settings, names or [table.name for table in tables.SOURCES], timeout_s) if not o.is_equal]
    if not unequal or not is_repair:
        return int(bool(unequal))
    for outcome in unequal:
        print("\n".join(repair.send(settings, outcome)))
    repaired = [outcome.table.name for outcome in unequal]
    # The connector runs the requested snapshot asynchronously, so the comparison is repeated.
    while unequal and time.monotonic() < give_up_at:
        waiting = catch_up.CatchUp(settings=settings, give_up_at=give_up_at)
        catch_up.reach_silver(waiting, repaired)
        unequal = [o for o in _compared(spark, settings, repaired, give_up_at - time.monotonic()) if not o.is_equal]
        repaired = [outcome.table.name for outcome in unequal]
    return int(bool(unequal))


def _compared(spark: SparkSession, settings: Settings, names: Sequence[str], timeout_s: float) -> list[Outcome]:
    outcomes = compare.compare(spark, settings, names, timeout_s)
    print("\n".join(map(str, outcomes)))
    return outcomes


def parse(argv: list[str]) -> Call:
    """The call that compares the named table; EbapError unless the arguments are one table."""
    return partial(run, table_name=arguments.one_source(argv))
