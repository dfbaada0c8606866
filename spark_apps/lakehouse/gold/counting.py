"""Row counts of gold views, computed in this process."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse import platform_tables, tables
from lakehouse.delta import reading
from lakehouse.delta.pruning import Between, Filter
from lakehouse.delta.schema import quoted
from lakehouse.gold import engine, queries
from lakehouse.transforms import views
from lakehouse.transforms.gold import orders_live, sql_files

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.lake.lake import Lake

_RANK = {"r": 0, "d": 1}  # of an operation at one position, as in `orders_live.NEWEST`; an upsert has 2


def view_rows(lake: Lake, table: Table) -> int:
    """Rows of the view. Raises NoTableError if the catalog was not created."""
    if sql_files.reads_bronze(table):
        return _live_rows(lake, tables.source("orders"))
    engine.prepare(lake.con)
    try:
        _define(lake, table)
        row = lake.con.execute(f"SELECT count(*) FROM gold.{quoted(table.name)}").fetchone()
        assert row is not None  # an aggregate without groups is always one row
        return int(row[0])
    finally:
        engine.clear(lake.con)


def _define(lake: Lake, table: Table) -> None:
    """Create the view, and first everything it reads."""
    query = queries.select(table)
    for (schema, name), columns in query.reads.items():
        if schema == "silver":
            _silver(lake, name, columns)
        elif tables.gold(name).is_view:
            _define(lake, tables.gold(name))
        else:
            rows = reading.relation(lake.con, lake.snapshot(tables.gold(name)), lake.store, columns)
            lake.con.execute(f"CREATE OR REPLACE TABLE gold.{quoted(name)} AS SELECT * FROM rows")
            del rows
    engine.define(lake.con, query.duckdb)
    lake.con.execute(f"CREATE OR REPLACE VIEW gold.{quoted(table.name)} AS {query.duckdb}")


def _silver(lake: Lake, name: str, columns: Iterable[str]) -> None:
    source = queries.input_of(("silver", name))
    snapshot = lake.snapshot(platform_tables.stored(tables.source(source)))
    is_live = source == name
    needed = {*columns, "_last", "_kind", "_is_visible", "_valid_to"} & set(snapshot.fields)
    rows = reading.relation(
        lake.con,
        snapshot,
        lake.store,
        [column for column in snapshot.fields if column in needed],
        where={"_last": [True]} if is_live else None,
    )
    shown = ", ".join(f"{views.COMPUTED.get(column, quoted(column))} AS {quoted(column)}" for column in columns)
    condition = views.IS_LIVE if is_live else views.IS_VERSION
    lake.con.execute(f"CREATE OR REPLACE TABLE silver.{quoted(name)} AS SELECT {shown or 1} FROM rows WHERE {condition}")
    del rows


def _live_rows(lake: Lake, source: Table) -> int:
    """Orders whose newest change of the last hour is not a delete."""
    since = datetime.now(UTC) - timedelta(minutes=orders_live.WINDOW_MINUTES)
    days = [since.date() + timedelta(days=number) for number in range(2)]
    where: Filter = {"source_table": [source.name], "_landed_on": days, "_landed_at": Between(low=since)}
    rows = lake.read(platform_tables.CHANGES, ("key", "epoch", "lsn", "op", "offset"), where)
    newest: dict[bytes, tuple[tuple[int, int, int, int], str]] = {}
    for key, epoch, lsn, op, offset in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True):
        if None not in (key, epoch, lsn) and op in ("c", "u", "r", "d"):
            place = (epoch, lsn, _RANK.get(op, 2), -offset)
            newest[key] = max(newest.get(key, (place, op)), (place, op))
    return sum(op != "d" for _, op in newest.values())
