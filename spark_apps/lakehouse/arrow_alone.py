"""Keeps pyarrow from importing pandas, which its first array does for a type check.

The import takes a quarter of a second of CPU and 40 MB. pandas can still be imported; pyarrow's conversions to and from pandas are not
available in a process that has imported this module.
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


def _disable_lookup() -> None:
    """Run pyarrow's lookup of pandas, which happens once per process, so that it finds none."""
    refused = _Refused()
    sys.meta_path.insert(0, refused)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(refused)


if "pandas" not in sys.modules:
    _disable_lookup()
