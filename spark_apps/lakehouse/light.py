"""Verbs that do small work in the caller's own process; what is left to Spark the caller gets done by Spark."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lakehouse.lake.errors import TooLarge

if TYPE_CHECKING:
    from lakehouse.settings import Settings

# By verb: the module whose `light(words)` gives what does it with the settings alone, or raises TooLarge.
_MODULES = {
    "refine": "lakehouse.silver.refine",
    "aggregate": "lakehouse.gold.aggregate",
    "lakehouse.controls": "lakehouse.controls",
}


def run(settings: Settings, verb: str, words: list[str], heavy: Callable[[], Any], report: Callable[[str], None] = print) -> Any:
    """The result of the verb with these words: from this process, or from `heavy` where the work is Spark's, with the reason reported."""
    if verb in _MODULES:
        try:
            # Only what is run is loaded.
            return importlib.import_module(_MODULES[verb]).light(words)(settings)
        except TooLarge as due:
            report(f"by Spark: {due}")
    return heavy()
