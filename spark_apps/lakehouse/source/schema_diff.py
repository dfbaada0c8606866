"""Differences between two states of a source table's schema, and the state in which each is recorded; pure functions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from lakehouse.contract import Table, is_widening
from lakehouse.source import standing
from lakehouse.source.catalog import SourceTable
from lakehouse.source.compatibility import LONGER_TEXT, described, holds, spark_type
from lakehouse.source.schema_log import APPLIED, DRIFT, WAITING, SchemaChange
from lakehouse.source.standing import Standing


@dataclass(frozen=True, kw_only=True)
class SeenColumn:
    """A recorded column. `position` does not change on a rename; `labels` are those of an enum."""

    type: str
    position: int
    is_nullable: bool = True
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.type}({', '.join(self.labels)})" if self.labels else self.type


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A table's key and columns, both empty for a missing table. `oid` is unique within its server.

    `standing` is None for a missing table, and in records of earlier releases.
    """

    oid: int = 0
    key: tuple[str, ...] = ()
    columns: dict[str, SeenColumn] = field(default_factory=dict)
    standing: Standing | None = None


GONE = Shape()


def of(name: str, found: SourceTable | None, server: str | None = None) -> Shape:
    """Shape of a table in the catalog of that server; `GONE` if `found` is None."""
    if found is None:
        return GONE
    columns = {
        name: SeenColumn(type=described(column), position=column.position, is_nullable=column.is_nullable, labels=column.labels)
        for name, column in found.columns.items()
    }
    return Shape(oid=found.oid, key=found.key, columns=columns, standing=standing.of(name, found, server))


def to_json(shape: Shape) -> str:
    """JSON of a shape; equal shapes give equal text."""
    return json.dumps(asdict(shape), sort_keys=True)


def from_json(text: str) -> Shape:
    """Inverse of `to_json`."""
    values = json.loads(text)
    columns = {name: SeenColumn(**{**column, "labels": tuple(column["labels"])}) for name, column in values["columns"].items()}
    known = Standing(**values["standing"]) if values.get("standing") else None
    return Shape(oid=values["oid"], key=tuple(values["key"]), columns=columns, standing=known)


def changes(
    table: Table,
    before: Shape | None,
    after: Shape,
    seen_at: datetime,
    *,
    lossy: Collection[str] = (),
    since: datetime | None = None,
) -> list[SchemaChange]:
    """Every change from `before` (None: never seen) to `after`, with its initial state.

    `lossy` and `since` as in `standing.events`.
    """
    shape = to_json(after)

    def made(what: str, column: str | None, old: str | None, new: str | None, state: str, reason: str | None = None) -> SchemaChange:
        return SchemaChange(
            source_table=table.name,
            column=column,
            what=what,
            type_before=old,
            type_after=new,
            seen_at=seen_at,
            state=state,
            shape=shape,
            reason=reason,
        )

    if before is None:
        return [made("first seen", None, None, None, APPLIED)]
    events: Iterable[standing.Event] = ()
    if before != GONE and after.standing:
        is_replaced = before.oid != after.oid
        events = standing.events(table.name, before.standing, after.standing, is_replaced=is_replaced, lossy=lossy, since=since)
    of_columns = _differences(table, _aligned(before, after) if before.oid != after.oid else before, after)
    return [made(what, None, None, None, state, reason) for what, state, reason in events] + [made(*each) for each in of_columns]


def _aligned(before: Shape, after: Shape) -> Shape:
    """`before` with the positions of `after`, matched by name: positions of another server or a recreated table are unrelated."""
    columns = {
        name: replace(column, position=after.columns[name].position if name in after.columns else -column.position)
        for name, column in before.columns.items()
    }
    return replace(before, columns=columns)


_Difference = tuple[str, str | None, str | None, str | None, str]


def _differences(table: Table, before: Shape, after: Shape) -> Iterator[_Difference]:
    if (before.key, before.columns) == (after.key, after.columns):
        return
    if GONE in (before, after):
        yield ("dropped" if after == GONE else "added", None, _keyed(before), _keyed(after), WAITING)
        return
    if set(before.key) != set(after.key):
        yield ("key changed", None, _keyed(before), _keyed(after), WAITING)
    was = {column.position: name for name, column in before.columns.items()}
    now = {column.position: name for name, column in after.columns.items()}
    for position, name in sorted(was.items()):
        if now.get(position) != name:
            what = "renamed" if position in now else "dropped"
            yield (what, name, str(before.columns[name]), None, WAITING if name in table.key else APPLIED)
    for position, name in sorted(now.items()):
        if was.get(position) != name:
            what = "renamed" if position in was else "added"
            yield (what, name, None, str(after.columns[name]), APPLIED if name in table.column_names else DRIFT)
        else:
            yield from _of_column(table, name, before.columns[name], after.columns[name])


def _of_column(table: Table, name: str, before: SeenColumn, after: SeenColumn) -> Iterator[_Difference]:
    is_declared = name in table.column_names
    if (before.type, before.labels) != (after.type, after.labels):
        what = _kind(before, after)
        yield (what, name, str(before), str(after), _state(table.column(name).type, what, after) if is_declared else DRIFT)
    if before.is_nullable != after.is_nullable:
        yield ("nullability changed", name, _with_null(before), _with_null(after), APPLIED if is_declared else DRIFT)


def _state(declared: str, what: str, after: SeenColumn) -> str:
    """Initial state of a type change; a widening that the stored column cannot follow waits like any other type change."""
    is_followed = after.type == LONGER_TEXT[1] or holds(declared, after.type) or is_widening(declared, spark_type(after.type) or "")
    return APPLIED if what == "enum value added" or (what == "widened" and is_followed) else WAITING


def _kind(before: SeenColumn, after: SeenColumn) -> str:
    if before.type == after.type:
        return "enum value added" if set(before.labels) < set(after.labels) else "retyped"
    narrow, wide = spark_type(before.type), spark_type(after.type)
    if (before.type, after.type) == LONGER_TEXT or (narrow and wide and is_widening(narrow, wide)):
        return "widened"
    if (after.type, before.type) == LONGER_TEXT or (narrow and wide and is_widening(wide, narrow)):
        return "narrowed"
    return "retyped"


def _keyed(shape: Shape) -> str | None:
    return None if shape == GONE else f"key ({', '.join(shape.key)})"


def _with_null(column: SeenColumn) -> str:
    return str(column) if column.is_nullable else f"{column} NOT NULL"
