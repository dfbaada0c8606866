"""Pause and resume of single source tables; a resumed table continues from its checkpoint.

Only refining stops: changes still land in bronze, other tables continue, and a requested rebuild still runs.
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
    """Whether the table is paused now, as text, and whether this call changed it."""

    notice: str
    changed: bool

    def __str__(self) -> str:
        return self.notice


def pause(settings: Settings, table_name: str, by: str, reason: str | None = None) -> ControlResult:
    """Stop refining the table; a run under way completes. A table that is paused already keeps its time, user and reason."""
    store, table = state.store(settings), tables.source(table_name)
    notice = store.read(table).pause_notice
    if notice:
        return ControlResult(notice=notice, changed=False)
    store.pause(table, by, reason or None)
    return ControlResult(notice=store.read(table).pause_notice or "", changed=True)


def resume(settings: Settings, table_name: str) -> ControlResult:
    """Refine the table again; the next run takes everything that landed during the pause."""
    store, table = state.store(settings), tables.source(table_name)
    is_paused = store.read(table).paused_at is not None
    if is_paused:
        store.resume(table)
    return ControlResult(notice=f"{table.full_name} is not paused", changed=is_paused)


def light(argv: list[str]) -> Callable[[Settings], ControlResult]:
    """The call that pauses or resumes the named table, without Spark."""
    parser = argparse.ArgumentParser(prog="lakehouse", description="Pause or resume a source table.")
    actions = parser.add_subparsers(dest="action", required=True)
    arguments.table(actions.add_parser("resume"))
    pausing = actions.add_parser("pause")
    arguments.pause(pausing)
    pausing.add_argument("--by", default=getpass.getuser(), help="user who pauses the table")
    parsed = parser.parse_args(argv)
    if parsed.action == "resume":
        return lambda settings: resume(settings, parsed.table)
    return lambda settings: pause(settings, parsed.table, parsed.by, parsed.reason)
