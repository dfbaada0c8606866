"""Whether every change of a table is captured, what prevented this between two checks, and the cure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from lakehouse.source import publishing
from lakehouse.source.catalog import SourceTable
from lakehouse.source.schema_log import (
    APPLIED,
    ATTACHED,
    DETACHED,
    FIT,
    GAP,
    PUBLISHED,
    REPLACED,
    REPUBLISHED,
    TRUNCATED,
    UNFIT,
    UNPUBLISHED,
    WAITING,
)

# For a table that was last checked by a release that did not record its publication entry.
_UNKNOWN = "unknown"
# What happened, its initial state, and the consequence.
Event = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whether a table can be captured: its publication entry, faults by code, and names and files of its partitions by oid.

    `server` is the identity of its Postgres, None if unknown; standings of different servers are not comparable.
    """

    server: str | None = None
    publication: str | None = None
    faults: dict[str, str] = field(default_factory=dict)
    partitions: dict[str, str] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)


def of(name: str, found: SourceTable, server: str | None) -> Standing:
    """Standing of a table in the catalog of that server."""
    parts = found.parts if found.kind == "p" else ()
    return Standing(
        server=server,
        publication=found.publication,
        faults=publishing.faults(name, found),
        partitions={str(part.oid): part.name for part in parts},
        files={str(part.oid): part.file for part in parts},
    )


def attached(before: Standing | None, after: Standing | None) -> list[str]:
    """Oids of new partitions."""
    return sorted(after.partitions.keys() - before.partitions.keys()) if before and after else []


def rewritten(before: Standing | None, after: Standing | None) -> list[str]:
    """Oids of partitions whose file changed."""
    both = before.files.keys() & after.files.keys() if before and after else ()
    return sorted(oid for oid in both if before and after and before.files[oid] != after.files[oid])


def events(
    name: str, before: Standing | None, after: Standing, *, is_replaced: bool, lossy: Collection[str], since: datetime | None
) -> Iterator[Event]:
    """What happened to table `name` since the check at `since`.

    `before` is None for a record of an earlier release. `is_replaced`: another table has its name now. `lossy` are the oids of new
    partitions that had rows when attached, and of truncated ones.
    """
    was = before or Standing(publication=_UNKNOWN, partitions=after.partitions)
    for code in sorted(was.faults.keys() - after.faults.keys()):
        yield FIT, APPLIED, f"no longer: {was.faults[code]}"
    for code in sorted(after.faults.keys() - was.faults.keys()):
        yield UNFIT, WAITING, after.faults[code]
    if was.server and after.server and was.server != after.server:
        return
    from_then = f"what is committed to it after {_moment(since)} is not captured"
    if is_replaced and before:
        yield REPLACED, WAITING, f"{from_then}, and its rows may be others"
        return
    yield from _of_publication(was, after, from_then, since)
    for oid in sorted(was.partitions.keys() - after.partitions.keys()):
        gone = was.partitions[oid]
        yield DETACHED, GAP, f"silver still has the rows of {gone}: `python -m lakehouse reconcile {name} --repair` ends them"
    for oid in attached(was, after):
        new = after.partitions[oid]
        if oid in lossy:
            yield ATTACHED, GAP, f"{new} had rows before, which silver does not have: `python -m lakehouse resnapshot {name}` reads them"
        else:
            yield ATTACHED, APPLIED, f"{new} had no rows before"
    for oid in rewritten(was, after):
        if oid in lossy:
            kept = f"unless {after.partitions[oid]} was only rewritten, or truncated with its table, silver still has its rows: "
            yield TRUNCATED, GAP, f"{kept}`python -m lakehouse reconcile {name} --repair` ends them"


def _of_publication(was: Standing, after: Standing, from_then: str, since: datetime | None) -> Iterator[Event]:
    if was.publication == after.publication:
        return
    if after.publication is None:
        yield UNPUBLISHED, WAITING, from_then
    elif was.publication is None:
        yield PUBLISHED, APPLIED, "its changes are captured from now on"
    elif was.publication != _UNKNOWN:
        yield REPUBLISHED, WAITING, f"what was committed to it between {_moment(since)} and this look may not be captured"


def _moment(since: datetime | None) -> str:
    return f"{since:%Y-%m-%d %H:%M:%S} UTC" if since else "the look before"
