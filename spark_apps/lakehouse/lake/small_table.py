"""Tables of a few rows, read whole and without deletion vectors: a changed row's file is rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.delta import reading
from lakehouse.delta.commit import commit
from lakehouse.delta.writing import Writes
from lakehouse.transforms.records import arrow

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.delta.pruning import Filter
    from lakehouse.lake.lake import Lake

Row = dict[str, Any]


class Rows:
    """The current rows of a small table, or those that match a partition filter, and the commit that changes them."""

    def __init__(self, lake: Lake, table: Table, where: Filter | None = None) -> None:
        self._lake, self._table, self._where = lake, table, where
        self._snapshot = lake.snapshot(table)
        found = reading.located(lake.con, self._snapshot, lake.store, where=where)
        self.rows: list[Row] = found.to_pylist()

    def write(self, changed: Mapping[int, Row | None], new: Sequence[Row] = ()) -> None:
        """Update rows (by `id`; None deletes) and add new ones, in one commit; no commit if there is nothing to do.

        Raises ConflictError if another writer changed the rows since they were read.
        """
        if not changed and not new:
            return
        files = {row[reading.FILE] for row in self.rows if id(row) in changed}
        kept = [changed.get(id(row), row) for row in self.rows if row[reading.FILE] in files]
        writes = self._by_partition(row for row in (*kept, *new) if row is not None)
        log = self._lake.log(self._table)
        commit(log, self._snapshot, operation="MERGE", writes=writes, removes=sorted(files), reads=self._where)

    def _by_partition(self, rows: Iterable[Row]) -> Writes:
        partitions = self._snapshot.partition_columns
        names = [name for name in self._table.column_names if name not in partitions]
        schema = pa.schema([(name, arrow.arrow_type(self._table.column(name).type)) for name in names])
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(tuple(row[name] for name in partitions), []).append({name: row[name] for name in names})
        return [
            (dict(zip(partitions, values, strict=True)), pa.Table.from_pylist(group, schema=schema)) for values, group in groups.items()
        ]
