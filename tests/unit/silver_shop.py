"""A small shop whose silver tables a test writes itself: changes in any order, the stored form computed plainly, without Spark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.delta.commit import commit
from lakehouse.lake.lake import Lake
from lakehouse.platform_tables import stored
from lakehouse.transforms.records import arrow

START = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


class Shop:
    """Changes by table and key, each its own transaction; `refine` writes a table as refine would, with the run's number."""

    def __init__(self) -> None:
        self.changes: dict[str, dict[tuple[Any, ...], list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        self.moved: set[str] = set()
        self.run = 1

    def change(self, table_name: str, hours: float, *, is_delete: bool = False, lsn: float | None = None, **values: Any) -> None:
        """A change committed so many hours after START; its place in the key's order is `lsn`, by default the same number."""
        table = tables.source(table_name)
        key = tuple(values[name] for name in table.key)
        made = {
            "values": {name: values[name] for name in table.key} if is_delete else values,
            "commit": START + timedelta(hours=hours),
            "lsn": int(1000 * (hours if lsn is None else lsn)),
            "is_delete": is_delete,
            "run": self.run,
        }
        self.changes[table_name][key].append(made)
        self.moved.add(table_name)

    def refine(self, lake: Lake) -> None:
        """Write the stored changes of the tables that changed, and end the run."""
        for table in (table for table in tables.SOURCES if table.name in self.moved):
            rows = [row for changes in self.changes[table.name].values() for row in self._folded(table, changes)]
            made, snapshot = arrow_of(rows, stored(table)), lake.snapshot(stored(table))
            writes = [({"_last": is_last}, made.filter(pc.field("_last") == is_last)) for is_last in (True, False)]
            commit(lake.log(stored(table)), snapshot, operation="WRITE", writes=writes, removes=snapshot.files)
        self.moved.clear()
        self.run += 1

    def _folded(self, table: Table, changes: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
        changes.sort(key=lambda change: change["lsn"])
        last: datetime | None = None
        for change in changes:
            effective = change["commit"] if last is None else max(change["commit"], last + TICK)
            if change.get("effective", effective) != effective:
                change["run"] = self.run
            change["effective"] = last = effective
        for position, change in enumerate(changes):
            end = changes[position + 1]["effective"] if position + 1 < len(changes) else None
            is_last, is_visible = end is None, not change["is_delete"]
            platform = {
                "_kind": "delete" if change["is_delete"] else "upsert",
                "_epoch": 1,
                "_lsn": change["lsn"],
                "_commit_at": change["commit"],
                "_effective_at": change["effective"],
                "_is_visible": is_visible,
                "_valid_from": change["effective"] if is_visible else None,
                "_valid_to": end if is_visible else None,
                "_run": change["run"],
                "_last": is_last,
            }
            values = change["values"] | platform
            yield tuple(values.get(name) for name in stored(table).column_names)


def arrow_of(rows: Iterable[Sequence[Any]], table: Table) -> pa.Table:
    """Rows of plain values, in the order of the declared columns, as an Arrow table."""
    columns = zip(*rows, strict=True)
    return pa.Table.from_arrays(
        [pa.array(values, arrow.arrow_type(c.type)) for values, c in zip(columns, table.columns, strict=True)], schema=arrow.schema(table)
    )
