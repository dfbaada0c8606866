"""Pausing single source tables: a paused one is not refined until it is resumed, and then goes on from where it stood.

Only refining stops: its changes still land in bronze, which keeps them, and the other tables go on. A rebuild that somebody asks for
is made all the same.
"""

from __future__ import annotations

import argparse
import getpass
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse import arguments, ledger, storage, tables, verb
from lakehouse.contract import Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True, kw_only=True)
class Control:
    """What is asked of one source table; `paused_at` is UTC, and None while the table runs. See `ledger.CONTROLS`."""

    source_table: str
    paused_at: datetime | None = None
    paused_by: str | None = None
    reason: str | None = None

    def __str__(self) -> str:
        name = f"silver.{self.source_table}"
        if self.paused_at is None:
            return f"{name} is not paused"
        why = f" ({self.reason})" if self.reason else ""
        since = f"{self.paused_at:%Y-%m-%d %H:%M:%S} UTC"
        cure = f"`python -m lakehouse resume {self.source_table}` lets it go on from where it stands"
        return f"{name} is paused since {since} by {self.paused_by}{why}: {cure}"


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """How the table is now, and whether that was brought about just now."""

    control: Control
    changed: bool

    def __str__(self) -> str:
        return str(self.control)


def read(spark: SparkSession, table: Table) -> Control:
    """What is asked of the table."""
    row = spark.read.table(ledger.CONTROLS.full_name).where(f"source_table = '{table.name}'").first()
    return Control(source_table=table.name) if row is None else Control(**storage.in_utc(row.asDict()))


def notice(spark: SparkSession, table: Table) -> str | None:
    """That the table is paused, with the cure; None while it runs."""
    control = read(spark, table)
    return str(control) if control.paused_at else None


def pause(spark: SparkSession, table_name: str, by: str, reason: str | None = None) -> ControlResult:
    """Keep the table from being refined; a run under way ends. One that is paused stays so, since when and by whom it was."""
    control = read(spark, tables.source(table_name))
    if control.paused_at:
        return ControlResult(control=control, changed=False)
    made = Control(source_table=table_name, paused_at=datetime.now(UTC), paused_by=by, reason=reason or None)
    storage.write_row(spark, ledger.CONTROLS, vars(made))
    return ControlResult(control=made, changed=True)


def resume(spark: SparkSession, table_name: str) -> ControlResult:
    """Let the table be refined again; the next run takes all that landed meanwhile."""
    is_paused = read(spark, tables.source(table_name)).paused_at is not None
    running = Control(source_table=table_name)
    if is_paused:
        storage.write_row(spark, ledger.CONTROLS, vars(running))
    return ControlResult(control=running, changed=is_paused)


def asked(words: list[str]) -> verb.Call:
    """What pauses or resumes the named table."""
    parser = argparse.ArgumentParser(prog="controls", description="Pause a source table, or let it go on.")
    actions = parser.add_subparsers(dest="action", required=True)
    arguments.table(actions.add_parser("resume"))
    pausing = actions.add_parser("pause")
    arguments.pause(pausing)
    pausing.add_argument("--by", default=getpass.getuser(), help="who asks")
    given = parser.parse_args(words)
    if given.action == "resume":
        return lambda spark, _: resume(spark, given.table)
    return lambda spark, _: pause(spark, given.table, given.by, given.reason)
