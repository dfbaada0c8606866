"""What must agree although it stands in several places: declarations, transforms and generated files.

Needs no running service and no session.
"""

from __future__ import annotations

from pathlib import Path

from lakehouse import docs, tables
from lakehouse.gold import check as gold_check


def faults(project: Path) -> list[str]:
    """Everything that disagrees, one line each with its cure; empty where all is well.

    That the declarations can be built at all was proven by importing them.
    """
    # What gold's SQL is translated to is a generated file: there is none of a faulty one.
    return gold_check.faults() or _stale_files(project)


def _stale_files(project: Path) -> list[str]:
    stale = []
    for path, text in docs.generated().items():
        file = project / path
        if not file.is_file():
            stale.append(f"{path} is missing: run `make generated`")
        elif file.read_text() != text:
            stale.append(f"{path} differs from what the declarations say: run `make generated`")
    return stale
