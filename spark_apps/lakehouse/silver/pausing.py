"""Pause and resume of single source tables; a resumed table goes on from its checkpoint.

Only refining stops: its changes still land in bronze, which keeps them, and the other tables go on. A rebuild that somebody asks for
is made all the same.
"""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from dataclasses import dataclass

from lakehouse import arguments, tables
from lakehouse.lake import state
from lakehouse.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """How the table is now, and whether that was brought about just now."""

    notice: str
    changed: bool

    def __str__(self) -> str:
        return self.notice


def pause(settings: Settings, table_name: str, by: str, reason: str | None = None) -> ControlResult:
    """Keep the table from being refined; a run under way ends. One that is paused stays so, since when and by whom it was."""
    store, table = state.store(settings), tables.source(table_name)
    notice = store.read(table).pause_notice
    if notice:
        return ControlResult(notice=notice, changed=False)
    store.pause(table, by, reason or None)
    return ControlResult(notice=store.read(table).pause_notice or "", changed=True)


def resume(settings: Settings, table_name: str) -> ControlResult:
    """Let the table be refined again; the next run takes all that landed meanwhile."""
    store, table = state.store(settings), tables.source(table_name)
    is_paused = store.read(table).paused_at is not None
    if is_paused:
        store.resume(table)
    return ControlResult(notice=f"{table.full_name} is not paused", changed=is_paused)


def light(argv: list[str]) -> Callable[[Settings], ControlResult]:
    """What pauses or resumes the named table, without Spark."""
    parser = argparse.ArgumentParser(prog="lakehouse", description="Pause a source table, or let it go on.")
    actions = parser.add_subparsers(dest="action", required=True)
    arguments.table(actions.add_parser("resume"))
    pausing = actions.add_parser("pause")
    arguments.pause(pausing)
    pausing.add_argument("--by", default=getpass.getuser(), help="who asks")
    given = parser.parse_args(argv)
    if given.action == "resume":
        return lambda settings: resume(settings, given.table)
    return lambda settings: pause(settings, given.table, given.by, given.reason)
