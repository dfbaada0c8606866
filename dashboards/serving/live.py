"""`orders_live` in memory: order changes that landed within the hour, each parsed once, and the newest change per order.

Each new version of bronze adds the rows of its files; rows older than the hour are deleted. After a version that removed rows from
bronze (a forgotten person, an old day) the whole hour is read again.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboards.serving.dialect import duckdb_sql
from lakehouse import tables
from lakehouse.delta import reading
from lakehouse.transforms.gold import orders_live

log = logging.getLogger(__name__)

SOURCE = "orders"
_WINDOW = timedelta(minutes=orders_live.WINDOW_MINUTES)
_KEPT = ("key", "epoch", "lsn", "offset", "op", "_landed_at")
_READ = (*_KEPT, "value", "commit_at")


def run(connection: Any, sql: str, *values: Any) -> list[Any]:
    """Run a statement and fetch its rows: an unfetched result blocks the connection."""
    return list(connection.execute(sql, list(values)).fetchall())


class Live:
    """The tables `live.changes` and `live.newest` of one DuckDB database; `refresh` must not be called concurrently."""

    def __init__(self, table: Any, store: Any) -> None:
        self._table, self._store = table, store
        self._seen: tuple[str, int] | None = None

    def refresh(self, connection: Any, now: datetime) -> None:
        """Bring both tables to bronze's newest version, within the connection's transaction.

        Raises NoTableError if bronze does not exist. After an error the next call reads the whole hour.
        """
        snapshot = self._table.snapshot()
        known, self._seen = self._seen, None
        table_id = snapshot.metadata.raw["id"]
        added = self._added(known[1], snapshot) if known and known[0] == table_id else None
        is_full = added is None
        if added is None:
            run(connection, _created())
            added = [file for file in snapshot.files if file.partition["source_table"] == SOURCE and _may_hold(file, now - _WINDOW)]
        if added:
            found = reading.relation(connection, snapshot, self._store, columns=_READ, files=added)
            connection.register("landed", found)
            run(connection, _decoded(), now - _WINDOW)
            connection.unregister("landed")
        ((deleted,),) = run(connection, "DELETE FROM live.changes WHERE _landed_at < $1", now - _WINDOW)
        if added or deleted or is_full:
            run(connection, _newest())
        self._seen = table_id, snapshot.version

    def forget(self) -> None:
        """Read the whole hour next time, because the transaction was rolled back."""
        self._seen = None

    def _added(self, known: int, snapshot: Any) -> list[Any] | None:
        """Files of orders added since that version; None if the whole hour must be read again."""
        if snapshot.version <= known:
            return [] if snapshot.version == known else None
        try:
            commits = self._table.commits(known + 1, snapshot.version)
        except Exception as error:  # the log no longer reaches back, or cannot be read: the snapshot has all that is needed
            log.info("reading the last hour of bronze again: %s", error)
            return None
        changing = [commit for commit in commits if commit.changes_rows]
        # A removed file's partition values are optional in the log.
        if any(file.partition.get("source_table") in (SOURCE, None) for commit in changing for file in commit.removes):
            return None
        return [file for commit in changing for file in commit.adds if file.partition["source_table"] == SOURCE]


def _may_hold(file: Any, since: datetime) -> bool:
    """Whether the file can contain a record that landed since then, by its day and, if present, its statistics."""
    day = file.partition.get("_landed_on")
    if day and day < since.date().isoformat():
        return False
    newest = file.statistics.get("maxValues", {}).get("_landed_at")
    # Statistics are truncated to milliseconds.
    return newest is None or datetime.fromisoformat(newest).astimezone(UTC) + timedelta(milliseconds=1) >= since


def _created() -> str:
    view = tables.gold("orders_live")
    kinds = {"STRING": "VARCHAR", "TIMESTAMP": "TIMESTAMPTZ"}
    own = {"key": "BLOB", "epoch": "INTEGER", "lsn": "BIGINT", "offset": "BIGINT", "op": "VARCHAR", "_landed_at": "TIMESTAMPTZ"}
    typed = own | {column.name: kinds.get(column.type, column.type) for column in view.columns}
    columns = ", ".join(f'"{name}" {kind}' for name, kind in typed.items())
    return f"CREATE OR REPLACE TABLE live.changes ({columns})"


def _decoded() -> str:
    """INSERT of the landed rows; invalid UTF-8 or JSON yields NULL values, which exclude the order until its next change."""
    shape = json.dumps({"after": dict.fromkeys(orders_live.source_columns(), "VARCHAR")})
    typed = duckdb_sql(f"SELECT {', '.join(orders_live.typed_columns())}").removeprefix("SELECT ")
    own = ", ".join(f'"{name}"' for name in _KEPT)
    return (
        f"INSERT INTO live.changes SELECT {own}, {typed} FROM (\n"
        f"  SELECT *, from_json(CASE WHEN json_valid(text) THEN text END, '{shape}').after AS row\n"
        f"  FROM (SELECT *, try(decode(value)) AS text FROM landed WHERE _landed_at >= $1 AND {orders_live.IS_CHANGE}))"
    )


def _newest() -> str:
    ranked = duckdb_sql(f"SELECT *, {orders_live.NEWEST} FROM live.changes")
    columns = ", ".join(f'"{name}"' for name in (*tables.gold("orders_live").column_names, "_landed_at"))
    return f"CREATE OR REPLACE TABLE live.newest AS SELECT {columns} FROM ({ranked}) WHERE newest = 1 AND op <> 'd'"
