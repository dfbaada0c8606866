"""Checkpoints in a table's commits, from which a lost row of the table's state is restored."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakehouse.delta.errors import VersionGoneError
from lakehouse.lake import state

if TYPE_CHECKING:
    from lakehouse.delta.log import TableLog
    from lakehouse.lake.state import TableState

# Number of newest commits that are searched; an older checkpoint only costs repeated work.
_LOOK_BACK = 100


def restored(log: TableLog, known: TableState) -> TableState:
    """The state of a table without a row, restored from its newest commits; `known` if none has a checkpoint."""
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
    """The checkpoint in a commit's metadata; None if it has none."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) and "checkpoint" in found else None
