"""State of each table: one row per table in the platform's Postgres, read and written in milliseconds.

The table's commits carry the checkpoint too (see `silver.refine` and `gold.aggregate`), so that lost rows can be restored. A row may be
behind its table, which repeats work without effect; it is never ahead, because it is written after the commit.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConflictError, NotReadyError
from lakehouse.transforms.records.truncates import Truncate, from_json, to_json

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.settings import Settings

READER = "state_reader"  # the role with which Spark reads the rows
NO_CHECKPOINT = -1  # version of bronze consumed by a table that was never refined

_COLUMNS = ("table_name", "bronze_version", "inputs", "truncates", "complete_to", "updated_at", "records", "quarantined", "error")
_PAUSE = ("paused_at", "paused_by", "pause_reason")
_CREATE = f"""
CREATE SCHEMA IF NOT EXISTS ebap;
CREATE TABLE IF NOT EXISTS ebap.table_state (
  table_name text PRIMARY KEY,
  bronze_version bigint NOT NULL DEFAULT -1,
  inputs jsonb NOT NULL DEFAULT '{{}}',
  truncates jsonb NOT NULL DEFAULT '[]',
  complete_to timestamptz,
  updated_at timestamptz,
  records bigint NOT NULL DEFAULT 0,
  quarantined bigint NOT NULL DEFAULT 0,
  error text,
  paused_at timestamptz,
  paused_by text,
  pause_reason text,
  turn bigint NOT NULL DEFAULT 0
);
GRANT USAGE ON SCHEMA ebap TO {READER};
GRANT SELECT ON ebap.table_state TO {READER};
GRANT CONNECT ON DATABASE metastore TO {READER}"""
# The update fails if the row was written since it was read: a run that started before a rebuild must not overwrite its checkpoint.
_ADVANCE = f"""
INSERT INTO ebap.table_state AS t ({", ".join(_COLUMNS)}, turn)
VALUES ({", ".join(f"%({name})s" for name in _COLUMNS)}, %(turn)s + 1)
ON CONFLICT (table_name) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}, turn = excluded.turn
WHERE t.turn = %(turn)s"""
_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class TableState:
    """State of a table, by full name; times are UTC, `updated_at` is None before its first run.

    Source table: `bronze_version` is the version of bronze.changes consumed, inclusive, `truncates` every truncate so far; `records` and
    `quarantined` are counts of the last run with records. Gold table: `inputs` is what was consumed of each input. `complete_to`: source
    commit time up to which the table is complete. `error`: why it is stopped, with the cure. `paused_at`, `paused_by`, `pause_reason` are
    set by an operator. `turn` counts the writes of the row, without pauses.
    """

    table_name: str
    bronze_version: int = NO_CHECKPOINT
    inputs: Mapping[str, Any] = field(default_factory=dict)
    truncates: tuple[Truncate, ...] = ()
    complete_to: datetime | None = None
    updated_at: datetime | None = None
    records: int = 0
    quarantined: int = 0
    error: str | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    turn: int = 0

    @property
    def has_run(self) -> bool:
        """Whether the table was ever refined or aggregated."""
        return self.updated_at is not None

    @staticmethod
    def unknown(known: TableState) -> TableState:
        """The row of a table with nothing known but its pause."""
        own = {name: getattr(known, name) for name in ("table_name", *_PAUSE, "turn")}
        return TableState(**own)

    def checkpoint(self) -> dict[str, Any]:
        """The metadata of a table's commit, from which `restored` rebuilds the state."""
        at = self.complete_to.isoformat() if self.complete_to else None
        own = {"bronze_version": self.bronze_version, "inputs": dict(self.inputs), "truncates": to_json(self.truncates)}
        return {"checkpoint": self.table_name, "complete_to": at, **own}

    @property
    def pause_notice(self) -> str | None:
        """Since when, by whom and why the table is paused, with the cure; None if it is not paused."""
        if self.paused_at is None:
            return None
        why = f" ({self.pause_reason})" if self.pause_reason else ""
        since = f"{self.paused_at:%Y-%m-%d %H:%M:%S} UTC"
        cure = f"`python -m lakehouse resume {self.table_name.split('.')[1]}` lets it go on from where it stands"
        return f"{self.table_name} is paused since {since} by {self.paused_by}{why}: {cure}"


def restored(table_name: str, checkpoint: Mapping[str, Any]) -> TableState:
    """The state from a commit's metadata, see `TableState.checkpoint`; `updated_at` is now."""
    at = checkpoint["complete_to"]
    return TableState(
        table_name=table_name,
        bronze_version=checkpoint["bronze_version"],
        inputs=checkpoint["inputs"],
        truncates=from_json(checkpoint["truncates"]),
        complete_to=datetime.fromisoformat(at) if at else None,
        updated_at=datetime.now(UTC),
    )


class StateStore:
    """Access to the rows over one connection, which is opened at first use, shared by threads, and reopened after a loss."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Any = None
        self._lock = threading.Lock()

    def create(self) -> None:
        """Create the table if it does not exist."""
        self._run(_CREATE)

    def read(self, table: Table) -> TableState:
        """The state of a table; the initial state if there is no row."""
        return self.read_all([table])[table.full_name]

    def read_all(self, wanted: Iterable[Table]) -> dict[str, TableState]:
        """The states of these tables, by full name."""
        names = [table.full_name for table in wanted]
        columns = (*_COLUMNS, *_PAUSE, "turn")
        rows = self._run(f"SELECT {', '.join(columns)} FROM ebap.table_state WHERE table_name = ANY(%s)", [names])
        found = {row[0]: _state(dict(zip(columns, row, strict=True))) for row in rows}
        return {name: found.get(name, TableState(table_name=name)) for name in names}

    def advance(self, read: TableState, made: TableState) -> TableState:
        """Replace the row if it is still as `read`; ConflictError if another run has written it. Pauses are kept."""
        values = {name: getattr(made, name) for name in _COLUMNS}
        values |= {"inputs": json.dumps(made.inputs), "truncates": to_json(made.truncates), "turn": read.turn}
        if self._run(_ADVANCE, values, is_write=True) == 0:
            raise ConflictError(f"the state of {made.table_name} was updated by a concurrent run", "run it again")
        return replace(made, turn=read.turn + 1)

    def stop(self, table: Table, error: str) -> None:
        """Record why a table is stopped, whatever the rest of its row."""
        self._upsert(table, {"error": error})

    def pause(self, table: Table, by: str, reason: str | None) -> None:
        """Record that an operator paused the table now."""
        self._upsert(table, {"paused_at": datetime.now(UTC), "paused_by": by, "pause_reason": reason})

    def resume(self, table: Table) -> None:
        """Record that the table may run again."""
        self._upsert(table, dict.fromkeys(_PAUSE))

    def _upsert(self, table: Table, values: dict[str, Any]) -> None:
        names = ", ".join(values)
        marks, updates = ", ".join(f"%({name})s" for name in values), ", ".join(f"{name} = excluded.{name}" for name in values)
        insert = f"INSERT INTO ebap.table_state (table_name, {names}) VALUES (%(table_name)s, {marks})"
        self._run(f"{insert} ON CONFLICT (table_name) DO UPDATE SET {updates}", {"table_name": table.full_name, **values}, is_write=True)

    def _run(self, sql: str, values: Any = None, is_write: bool = False) -> Any:
        """The rows of a query, or the number of rows written; one statement, which commits by itself."""
        import psycopg2  # declarations and settings are read where no driver is installed

        with self._lock:
            for is_last in (False, True):
                try:
                    if self._connection is None or self._connection.closed:
                        self._connection = self._open()
                    with self._connection.cursor() as cursor:
                        cursor.execute(sql, values)
                        return cursor.rowcount if is_write else (cursor.fetchall() if cursor.description else [])
                except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                    # A restarted server closes the connection; uncommitted work is rolled back.
                    self._connection = None
                    if is_last:
                        address = f"{self._settings.postgres_host}:{self._settings.postgres_port}"
                        what = f"the platform's Postgres does not answer at {address} ({_line(error)})"
                        raise NotReadyError(what, "see `make status`") from None
        raise AssertionError("unreachable")

    def _open(self) -> Any:
        import psycopg2

        settings = self._settings
        opened = psycopg2.connect(
            host=settings.postgres_host,
            port=settings.postgres_port,
            dbname="metastore",
            user="metastore",
            password=settings.secret("metastore"),
            connect_timeout=_TIMEOUT_S,
            # Ignores PGOPTIONS of the user's environment.
            options="-c timezone=UTC -c statement_timeout=30000",
        )
        opened.autocommit = True
        return opened


_STORES: dict[tuple[str, int, str], StateStore] = {}


def store(settings: Settings) -> StateStore:
    """The store of this process for the platform that the settings name."""
    key = (settings.postgres_host, settings.postgres_port, str(settings.secrets_dir))
    return _STORES.setdefault(key, StateStore(settings))


def in_utc(moment: datetime | None) -> datetime | None:
    """A time in UTC; a naive one, as Spark collects it, is in this process's zone."""
    return moment.astimezone(UTC) if moment else None


def _state(row: dict[str, Any]) -> TableState:
    moments = {name: in_utc(row[name]) for name in ("complete_to", "updated_at", "paused_at")}
    # The driver has already parsed the JSON.
    return TableState(**{**row, **moments, "truncates": from_json(json.dumps(row["truncates"]))})


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
