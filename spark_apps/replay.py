"""Replay what waits in quarantine: after a fix, a table's waiting records are read again, and those that can be read move into it.

Does: takes the waiting records from bronze, reads them with today's code, folds them into silver as refine does, marks them replayed.
Runs: by hand, `python -m lakehouse replay TABLE [--reason REASON]`; by spark-submit too: `replay.py TABLE [--reason REASON]`.
Safe to run again: a second run finds nothing to do. Beside refine too: where both write the table, one says to run it again.
When it fails: silver is written before quarantine, so a stop in between costs only the repetition.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import refine
from lakehouse import batches, erasure_store, erasures, quarantine_store, storage, tables, verb, waiting
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, kw_only=True)
class ReplayResult:
    """What a run did: records that can be read now, those looked at that still wait, whether silver changed."""

    table: str
    replayed: int
    waiting: int
    changed: bool


def run(spark: SparkSession, settings: Settings, table_name: str, reason: str | None = None) -> ReplayResult:
    """Replay the waiting records of the table, or those that wait for that reason; the table's mark stays where it is.

    Raises RefineError where the table takes no changes as it is declared, or a change of the source's schema stops it.
    """
    table, message = batches.admitted(spark, tables.source(table_name))
    if message:
        raise batches.RefineError(message)
    with batches.clear_errors(table):
        held = quarantine_store.rows(spark, table, reason).localCheckpoint()
        if held.isEmpty():
            return ReplayResult(table=table.name, replayed=0, waiting=0, changed=False)
        version = storage.bronze_version(spark)
        landed = quarantine_store.as_landed(spark, table, held, version)
        forgotten = erasure_store.forgotten(spark, table)
        decoded = batches.decoded(spark, settings, table, landed, forgotten, with_values=True).persist()
        try:
            readable = decoded.where("_reason IS NULL")
            changed = not readable.isEmpty() and refine.fold_in(spark, settings, table, readable, landed, version, forgotten)
            erasures.settle(spark, settings, table, forgotten)
            settled = quarantine_store.settle(spark, table, held, decoded)
            return ReplayResult(table=table.name, changed=changed, **settled)
        finally:
            decoded.unpersist()


def asked(words: list[str]) -> verb.Call:
    """What replays the named table once."""
    parser = argparse.ArgumentParser(prog="replay", description="Read a table's waiting records again; what can be read moves into it.")
    parser.add_argument("table", choices=[table.name for table in tables.SOURCES])
    parser.add_argument("--reason", choices=waiting.REASONS, help="only records that wait for this reason")
    given = parser.parse_args(words)
    return partial(run, table_name=given.table, reason=given.reason)


if __name__ == "__main__":
    verb.main("replay", asked, sys.argv[1:])
