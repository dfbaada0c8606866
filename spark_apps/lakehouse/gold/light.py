"""Slices of a gold table by DuckDB in this process; those that differ are replaced in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse.delta import reading
from lakehouse.delta.commit import commit
from lakehouse.delta.schema import quoted
from lakehouse.gold import engine, pseudonyms, queries
from lakehouse.gold.inputs import Inputs
from lakehouse.gold.loading import Loaded
from lakehouse.gold.readable import Query
from lakehouse.sql import is_within

if TYPE_CHECKING:
    from types import TracebackType

    from lakehouse.lake.lake import Lake
    from lakehouse.sql import Slice

OPERATION = "WRITE"


class Light:
    """DuckDB, on the lake's connection, over one run's inputs; `since_runs` as in `Loaded`. Cleared at the end of a `with` block."""

    def __init__(self, lake: Lake, inputs: Inputs, since_runs: Mapping[str, int | None]) -> None:
        self._lake, self._inputs, self._table = lake, inputs, inputs.table
        self._con = lake.con
        self._loaded = Loaded(self._con, lake.store, inputs, since_runs)
        self._query = queries.select(inputs.table)
        assert self._table.slice  # views are rejected before
        self._slice = quoted(self._table.slice)

    def __enter__(self) -> Light:
        engine.prepare(self._con)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        engine.clear(self._con)

    def touched(self) -> list[Slice]:
        """The slices that the changes of source tables affect."""
        finder = queries.touched(self._table)
        assert finder  # otherwise everything is recomputed
        sources = Query(duckdb="", reads={read: columns for read, columns in self._query.reads.items() if read[0] == "silver"})
        self._loaded.load([finder, sources], None)
        self._loaded.own(finder)
        engine.define(self._con, finder.duckdb)
        return [row[0] for row in self._con.execute(finder.duckdb).fetchall()]

    def replace(self, slices: Sequence[Slice] | None, checkpoint: Mapping[str, Any] | None) -> list[Slice]:
        """Compute these slices (all for None), replace those that differ from the stored ones, and return them.

        The commit carries the checkpoint. Raises ConflictError if another writer committed first.
        """
        if slices is not None and not slices:
            return []
        self._loaded.load([self._query], slices)
        self._loaded.restrict(self._query, slices)
        self._compute(slices)
        differing = self._differing(slices)
        if differing:
            self._write(differing, checkpoint)
        return differing

    def _compute(self, slices: Sequence[Slice] | None) -> None:
        """Compute the rows of the slices, in the declared types, into the table `kept._computed`."""
        fields = self._inputs.stored.fields
        columns = ", ".join(f"CAST({quoted(name)} AS {fields[name].duckdb_type}) AS {quoted(name)}" for name in self._table.column_names)
        within = "true" if slices is None else is_within(self._slice, slices)
        engine.define(self._con, self._query.duckdb)
        self._con.execute(f"CREATE OR REPLACE TABLE kept._computed AS SELECT {columns} FROM ({self._query.duckdb}) WHERE {within}")
        if any(column.hashed for column in self._table.columns):
            hashed = pseudonyms.hidden_table(self._con.sql("FROM kept._computed").to_arrow_table(), self._table, self._lake.settings)
            self._con.register("hidden", hashed)
            self._con.execute("CREATE OR REPLACE TABLE kept._computed AS FROM hidden")
            self._con.unregister("hidden")

    def _differing(self, slices: Sequence[Slice] | None) -> list[Slice]:
        """The slices that differ from the stored ones; exact, NULLs are equal."""
        where = None if slices is None else {str(self._table.slice): slices}
        stored = reading.relation(self._con, self._inputs.stored, self._lake.store, self._table.column_names, where=where)
        columns = ", ".join(map(quoted, self._table.column_names))
        found = self._con.execute(
            f"SELECT DISTINCT {self._slice} FROM (SELECT {self._slice} FROM ("
            f"SELECT {columns}, 1 AS _sign FROM kept._computed UNION ALL SELECT {columns}, -1 AS _sign FROM stored"
            f") GROUP BY {columns} HAVING sum(_sign) <> 0) ORDER BY 1 NULLS FIRST"
        )
        del stored
        return [row[0] for row in found.fetchall()]

    def _write(self, differing: Sequence[Slice], checkpoint: Mapping[str, Any] | None) -> None:
        assert self._table.slice
        where = {self._table.slice: differing}
        commit(
            self._lake.log(self._table),
            self._inputs.stored,
            operation=OPERATION,
            writes=self._rows_by_slice(differing),
            removes=reading.pruned(self._inputs.stored, where),
            reads=where,
            metadata=checkpoint,
        )

    def _rows_by_slice(self, slices: Sequence[Slice]) -> list[tuple[dict[str, Any], pa.Table]]:
        assert self._table.slice
        order = ", ".join(f"{column} NULLS FIRST" for column in (self._slice, *map(quoted, self._table.key)))
        found = self._con.sql(f"FROM kept._computed WHERE {is_within(self._slice, slices)} ORDER BY {order}").to_arrow_table()
        counted = (
            f"SELECT {self._slice}, count(*) FROM kept._computed WHERE {is_within(self._slice, slices)} GROUP BY 1 ORDER BY 1 NULLS FIRST"
        )
        parts, start = [], 0
        for value, count in self._con.execute(counted).fetchall():
            parts.append(({self._table.slice: value}, found.slice(start, count).drop_columns([self._table.slice])))
            start += count
        return parts
