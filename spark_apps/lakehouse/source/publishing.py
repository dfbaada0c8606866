"""Faults that prevent Postgres from publishing every change of a table with its key, each with its cure; pure functions.

Postgres refuses UPDATE and DELETE on a published table without a usable replica identity. For a partition, its own identity counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse.source.catalog import Part, SourceTable

_LISTED = 5


def faults(name: str, found: SourceTable) -> dict[str, str]:
    """Fault code -> predicate that completes "table X …"; empty for a view."""
    return dict(_faults(name, found)) if found.kind in ("r", "p") else {}


def _faults(name: str, found: SourceTable) -> Iterator[tuple[str, str]]:
    unlogged = [part.name for part in found.parts if not part.is_logged]
    if unlogged:
        yield "unlogged", f"has rows that are UNLOGGED ({_some(unlogged)}), which Postgres does not publish: ALTER TABLE … SET LOGGED"
    foreign = [part.name for part in found.parts if part.kind == "f"]
    if foreign:
        yield "foreign", f"has foreign tables as partitions ({_some(foreign)}), which Postgres does not publish: detach them"
    if found.children:
        yield (
            "children",
            f"has children by INHERITS ({_some(found.children)}), whose rows are read with it and whose changes are not: "
            f"ALTER TABLE … NO INHERIT {name}, or declare a partitioned table",
        )
    if found.ancestors:
        yield (
            "partition",
            f"is a partition of {_some(found.ancestors)}, which is captured too and has its changes: remove one of the two declarations",
        )
    if found.key:
        yield from _identity_faults(found)


def _identity_faults(found: SourceTable) -> Iterator[tuple[str, str]]:
    own = [part for part in found.parts if part.kind != "f"]
    for part in own:
        fault = _identity_fault(part)
        if fault:
            yield fault
            return
    # UPDATE does not depend on a partitioned table's own identity, but the format of its changes does.
    if found.identity == "n":
        yield "identity", "has REPLICA IDENTITY NOTHING: its updates would fail once published; set it to DEFAULT"
        return
    missing = sorted({name for part in own for name in set(found.key) - set(part.identity_columns or ())})
    if missing:
        yield (
            "identity",
            f"has a REPLICA IDENTITY without the key column {', '.join(missing)}, so that a delete would arrive with another key: "
            "ALTER TABLE … REPLICA IDENTITY DEFAULT",
        )


def _identity_fault(part: Part) -> tuple[str, str] | None:
    if part.identity_columns is not None:
        return None
    if part.identity == "n":
        return "identity", f"has REPLICA IDENTITY NOTHING ({part.name}): its updates would fail once published; set it to DEFAULT"
    if part.identity == "i":
        return "identity", f"has a REPLICA IDENTITY whose index is gone ({part.name}): its updates would fail; set it to DEFAULT"
    return (
        "deferrable",
        f"has a primary key that is DEFERRABLE ({part.name}), with which its updates would fail once published: make the key NOT "
        "DEFERRABLE, or set REPLICA IDENTITY FULL",
    )


def _some(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(sorted(names)[:_LISTED]) + more
