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
    """Everything that disagrees, one line each with its cure; empty where all is well.

    That the declarations can be built at all was proven by importing them.
    """
    # What gold's SQL is translated to is a generated file: there is none of a faulty one.
    return [*_source_faults(tables.SOURCES), *_expectation_faults(), *(gold_check.faults() or _stale_files(project))]


def _stale_files(project: Path) -> list[str]:
    stale = []
    for path, text in docs.generated().items():
        file = project / path
        if not file.is_file():
            stale.append(f"{path} is missing: run `make generated`")
        elif file.read_text() != text:
            stale.append(f"{path} differs from what the declarations say: run `make generated`")
    return stale


def _expectation_faults() -> list[str]:
    """Conditions that are Spark SQL and cannot be judged without Spark."""
    return [fault for table in tables.SOURCES for fault in quality.faults(table)]


def _source_faults(sources: Iterable[Table]) -> list[str]:
    """Declared types of captured columns that no type of Postgres fills."""
    return [
        f"{table.name}.py declares column {column.name} as {column.type}, which the capture cannot fill from any type of Postgres: "
        f"declare one of {', '.join(sorted(types.DECLARABLE))}; {docs.TYPES} says for which types of the source"
        for table in sources
        for column in table.columns
        if column.type.partition("(")[0] not in types.DECLARABLE
    ]
