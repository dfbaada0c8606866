"""The position of a commit in the live half's tables: what its table has read, in the summary of the commit's snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

KEY = "ebap.position"
# Snapshots that are looked at: clocks may have been set back between two of them.
NEWEST = 5


def furthest(texts: Iterable[str]) -> dict[str, Any]:
    """The position that has read most, of the newest ones as JSON texts; empty if there is none."""
    return max((json.loads(text) for text in texts), key=_progress, default={})


def _progress(position: dict[str, Any]) -> tuple[int, int, int]:
    read = sum(end for parts in position.get("offsets", {}).values() for end in parts.values())
    return read, position.get("final_before_s", 0), len(position.get("files", ()))
