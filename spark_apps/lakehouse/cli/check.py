"""Checks that declarations, transforms and generated files agree.

Needs no running service and no session.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lakehouse import tables
from lakehouse.cli import docs
from lakehouse.contract import Table
from lakehouse.gold import check as gold_check
from lakehouse.source import types
from lakehouse.transforms.records import quality


def faults(project: Path) -> list[str]:
    """Every inconsistency, one line each with its cure; empty if there is none.

    The declarations themselves are validated when they are imported.
    """
    # Generated files include the translation of gold's SQL, which fails for faulty SQL.
    return [*_source_faults(tables.SOURCES), *_expectation_faults(), *(gold_check.faults() or _stale_files(project))]


def _stale_files(project: Path) -> list[str]:
    stale = []
    for path, text in docs.generated().items():
        file = project / path
        if not file.is_file():
            stale.append(f"{path} is missing: run `make generated`")
        elif file.read_text() != text:
            stale.append(f"{path} does not match the declarations: run `make generated`")
    return stale


def _expectation_faults() -> list[str]:
    """Conditions that can be evaluated by Spark only."""
    return [fault for table in tables.SOURCES for fault in quality.faults(table)]


def _source_faults(sources: Iterable[Table]) -> list[str]:
    """Declared types of captured columns to which no Postgres type maps."""
    return [
        f"{table.name}.py declares column {column.name} as {column.type}, to which no Postgres type maps: "
        f"declare one of {', '.join(sorted(types.DECLARABLE))}; {docs.TYPES} lists the Postgres types of each"
        for table in sources
        for column in table.columns
        if column.type.partition("(")[0] not in types.DECLARABLE
    ]
