"""Checkpoints that a table's commits carry, from which a lost row of the table's state is restored."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakehouse.delta.errors import VersionGoneError
from lakehouse.lake import state

if TYPE_CHECKING:
    from lakehouse.delta.log import TableLog
    from lakehouse.lake.state import TableState

# The newest commits that are looked through; what is older costs a repetition.
_LOOK_BACK = 100


def restored(log: TableLog, known: TableState) -> TableState:
    """The state of a table without a row: what its newest commits carry, or `known`, that of a table that never ran."""
    newest = log.snapshot().version
    for version in range(newest, max(newest - _LOOK_BACK, -1), -1):
        try:
            (commit,) = log.commits(version, version)
        except VersionGoneError:
            break
        found = _checkpoint(commit.user_metadata)
        if found and found["checkpoint"] == known.table_name:
            made = state.restored(known.table_name, found)
            return replace(made, turn=known.turn, paused_at=known.paused_at, paused_by=known.paused_by, pause_reason=known.pause_reason)
    return known


def _checkpoint(text: str | None) -> dict[str, Any] | None:
    """The checkpoint that a commit carries; None for another's metadata."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) and "checkpoint" in found else None
