"""Keeps pyarrow from loading pandas, which its first array would do only for a type check.

A short process spends a quarter of a second of CPU and 40 MB on it. Who needs pandas can still import it; what pyarrow converts to and
from pandas is not available in a process that has imported this module.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

import pyarrow as pa


class _Refused(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ImportError("pandas is not loaded here")
        return None


def _ask_once() -> None:
    """Have pyarrow look for pandas, which it does once a process, and find none."""
    refused = _Refused()
    sys.meta_path.insert(0, refused)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(refused)


if "pandas" not in sys.modules:
    _ask_once()
