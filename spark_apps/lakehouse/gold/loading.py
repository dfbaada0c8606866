"""Inputs of a gold table loaded into DuckDB under the names in its SQL: only the required columns and rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakehouse import tables
from lakehouse.contract import History
from lakehouse.delta import reading
from lakehouse.delta.schema import quoted
from lakehouse.gold import queries, reach, readable
from lakehouse.gold.inputs import Inputs, is_source
from lakehouse.gold.readable import Name, Query
from lakehouse.sql import is_within
from lakehouse.transforms import views
from lakehouse.transforms.gold.sql_files import HISTORY_SUFFIX

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from lakehouse.delta.store import Store
    from lakehouse.sql import Slice

_LIVE, _VERSION = f"({views.IS_LIVE})", f"({views.IS_VERSION})"
_FLAGS = ("_last", "_kind", "_is_visible")


class Loaded:
    """A DuckDB with the inputs of one run. Tables are loaded when a query first needs them."""

    def __init__(self, con: DuckDBPyConnection, store: Store, inputs: Inputs, since_runs: Mapping[str, int | None]) -> None:
        """`since_runs`: per changed source table, the run from which its changes count; the others have not changed."""
        self.con, self._store, self._inputs, self._since_runs = con, store, inputs, since_runs
        self._has_sources = False

    def load(self, wanted: Iterable[Query], slices: Sequence[Slice] | None) -> None:
        """Load what these queries read, for these slices (None: for all). Source tables are loaded once for all queries."""
        reads: dict[Name, set[str]] = defaultdict(set)
        for query in wanted:
            for read, columns in query.reads.items():
                reads[read] |= set(columns)
        for name in self._inputs.snapshots:
            if not is_source(name) and ("gold", name) in reads:
                self._gold(name, reads["gold", name], slices)
            elif is_source(name) and not self._has_sources:
                self._source(name, reads, slices)
        self._has_sources = True

    def own(self, query: Query) -> None:
        """Load the stored table itself, for the query that finds the affected slices."""
        read = query.reads.get(("gold", self._inputs.table.name))
        if read:
            rows = reading.relation(self.con, self._inputs.stored, self._store, read)
            self.con.execute(f"CREATE OR REPLACE VIEW gold.{quoted(self._inputs.table.name)} AS {_select(read, self._kept('_own', rows))}")

    def restrict(self, query: Query, slices: Sequence[Slice] | None) -> None:
        """Restrict each sliced source input to the rows of these slices."""
        for name in self._inputs.table.sliced_by:
            if is_source(name):
                self._live(name, query.reads.get(("silver", name), ()), slices)

    def _source(self, name: str, reads: Mapping[Name, set[str]], slices: Sequence[Slice] | None) -> None:
        table, snapshot = tables.source(name), self._inputs.snapshots[name]
        live, history = reads.get(("silver", name), set()), reads.get(("silver", f"{name}{HISTORY_SUFFIX}"), set())
        is_changed = ("changed", name) in reads
        since_run = self._since_runs.get(name) if is_changed else None
        if not (live or history or since_run is not None):
            if is_changed:
                self._changed(name, None)
            return
        columns = {*live, *(column for column in history if column != "_is_current"), *_FLAGS}
        columns |= {"_valid_to"} if "_is_current" in history else set()
        columns |= set(queries.slice_columns(self._inputs.table, name)) if name in self._inputs.table.sliced_by else set()
        columns |= {*reach.COLUMNS, *table.key} if since_run is not None else set()
        kept = [_LIVE] * bool(live) + [_VERSION] * bool(history or (since_run is not None and table.history is History.FULL))
        kept += [f"_run >= {since_run}"] if since_run is not None else []
        ordered = [column for column in snapshot.fields if column in columns]
        rows = reading.relation(self.con, snapshot, self._store, ordered, where=self._only_newest(kept))
        self._kept(name, rows.filter(" OR ".join(kept)))
        if history:
            shown = ", ".join(f"{views.COMPUTED.get(column, quoted(column))} AS {quoted(column)}" for column in sorted(history))
            self._view("silver", f"{name}{HISTORY_SUFFIX}", f"SELECT {shown} FROM kept.{quoted(name)} WHERE {_VERSION}")
        if live:
            self._live(name, live, slices)
        if is_changed:
            self._changed(name, since_run)

    def _only_newest(self, kept: list[str]) -> Any:
        """The partition filter, if only live rows are needed: they are in one of the two partitions."""
        return {"_last": [True]} if kept == [_LIVE] else None

    def _live(self, name: str, columns: Iterable[str], slices: Sequence[Slice] | None) -> None:
        table = self._inputs.table
        within = "true"
        if slices is not None and name in table.sliced_by:
            within = is_within(queries.slice_of(table, name), slices)
        self._view("silver", name, f"{_select(columns, f'kept.{quoted(name)} AS {quoted(name)}')} WHERE {_LIVE} AND {within}")

    def _changed(self, name: str, since_run: int | None) -> None:
        table = tables.source(name)
        if since_run is None:
            fields = self._inputs.snapshots[name].fields
            types = {column: fields[column].duckdb_type for column in table.key} | {readable.SINCE: "TIMESTAMPTZ"}
            nothing = ", ".join(f"CAST(NULL AS {type_}) AS {quoted(column)}" for column, type_ in types.items())
            self._view("changed", name, f"SELECT {nothing} WHERE false")
            return
        self.con.execute(
            f"CREATE OR REPLACE TABLE changed.{quoted(name)} AS {reach.changed_since(table, f'kept.{quoted(name)}', since_run, quoted)}"
        )

    def _gold(self, name: str, columns: set[str], slices: Sequence[Slice] | None) -> None:
        snapshot = self._inputs.snapshots[name]
        ordered = [column for column in snapshot.fields if column in columns or column in self._slice_columns(name)]
        rows = reading.relation(self.con, snapshot, self._store, ordered, files=self._inputs.files(name, slices))
        if slices is not None and name in self._inputs.table.sliced_by:
            rows = rows.set_alias(name).filter(is_within(queries.slice_of(self._inputs.table, name), slices))
        self._view("gold", name, _select(columns, self._kept(name, rows)))

    def _slice_columns(self, name: str) -> tuple[str, ...]:
        return queries.slice_columns(self._inputs.table, name) if name in self._inputs.table.sliced_by else ()

    def _kept(self, name: str, rows: Any) -> str:
        """Store the rows in memory, so that they are decoded once for several parts of a query. DuckDB finds `rows` by its name."""
        self.con.execute(f"CREATE OR REPLACE TABLE kept.{quoted(name)} AS SELECT * FROM rows")
        return f"kept.{quoted(name)}"

    def _view(self, schema: str, name: str, sql: str) -> None:
        self.con.execute(f"CREATE OR REPLACE VIEW {schema}.{quoted(name)} AS {sql}")


def _select(columns: Iterable[str], source: str) -> str:
    return f"SELECT {', '.join(map(quoted, sorted(columns)))} FROM {source}"
