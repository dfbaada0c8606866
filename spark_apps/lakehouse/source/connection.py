"""Connections to the captured database; no other module opens one.

Whoever owns that database may have given it, or a role, settings of its own (`ALTER DATABASE … SET`, `ALTER ROLE … SET`). Each session,
the connector's included, therefore sets what it relies on when it connects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from lakehouse.contract import Table
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SLOT = "ebap"
CONNECTOR = "ebap"
ROLE = "ebap_capture"
_TIMEOUT_S = 10
_PROFILE: Mapping[str, str] = {
    # One text for a value, in the stream, the snapshot and the comparison.
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # A backslash in a condition or a name is a backslash.
    "standard_conforming_strings": "on",
    # A snapshot takes hours, and a comparison waits for the pipeline in its transaction.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    # The heartbeat, requests to the connector and its marks are written; two sessions may update the heartbeat at a time.
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
}
# libpq and the JDBC driver send them when they connect, where they stand above what the database and the role have.
OPTIONS = " ".join("-c {}={}".format(name, value.replace(" ", "\\ ")) for name, value in _PROFILE.items())
# What cannot be an option: a search path that depends on the one that is set, and a limit that only newer servers know. With pg_catalog
# first, no function or operator of the database takes the place of one that is built in; an extension's stay within reach.
FIRST_STATEMENT = (
    "SELECT pg_catalog.set_config(name, CASE name WHEN 'search_path' THEN pg_catalog.concat_ws(', ', 'pg_catalog', nullif(setting, ''))"
    " ELSE '0' END, false) FROM pg_catalog.pg_settings WHERE name IN ('search_path', 'transaction_timeout')"
)


def capture_address(settings: Settings) -> dict[str, str]:
    """Where the capture role logs in, as libpq keywords without a password: the owner's address under another name."""
    from psycopg2.extensions import parse_dsn  # declarations and settings are read where no driver is installed

    return {**parse_dsn(settings.shop_dsn), "user": ROLE}


@contextmanager
def owner(settings: Settings) -> Iterator[Any]:
    """A cursor as the owner of the captured schema, in one transaction that commits at the end of the block."""
    with owner_session(settings) as connection:
        connection.autocommit = False
        with connection, connection.cursor() as cursor:
            yield cursor


@contextmanager
def owner_session(settings: Settings) -> Iterator[Connection]:
    """A connection as the owner of the captured schema, in autocommit."""
    from psycopg2.extensions import parse_dsn

    with _session(parse_dsn(settings.shop_dsn), settings.secret("shop_owner")) as connection:
        yield connection


@contextmanager
def capture_session(settings: Settings) -> Iterator[Connection]:
    """A connection as the capture role, in autocommit."""
    with _session(capture_address(settings), settings.secret("capture")) as connection:
        yield connection


@contextmanager
def capture_replication(settings: Settings) -> Iterator[Connection]:
    """A replication connection as the capture role."""
    from psycopg2.extras import LogicalReplicationConnection

    with _connected(capture_address(settings), settings.secret("capture"), LogicalReplicationConnection) as connection:
        yield connection


@contextmanager
def _session(address: Mapping[str, str], password: str) -> Iterator[Connection]:
    with _connected(address, password) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(FIRST_STATEMENT)
        yield connection


def _connected(address: Mapping[str, str], password: str, kind: type[Connection] | None = None) -> closing[Connection]:
    import psycopg2

    own = {"options": session_options(address), "client_encoding": "UTF8", "connect_timeout": _TIMEOUT_S, "password": password}
    given: dict[str, Any] = {**address, **own}
    return closing(psycopg2.connect(connection_factory=kind, **given))


def session_options(address: Mapping[str, str]) -> str:
    """The options of each session at that address: its own, then those that stand above them."""
    return f"{address.get('options', '')} {OPTIONS}".strip()


def dates_before_christ(cursor: Any, schema: str, table: Table, condition: str | None = None) -> list[str]:
    """Columns of DATE that hold a day before the year 1: a snapshot, unlike the stream, sends it as one of our era (Debezium 3.7).

    Reads the rows that the snapshot will read. A column that is no date at the source is passed over.
    """
    from psycopg2 import sql

    names = [column.name for column in table.columns if column.type == "DATE"]
    cursor.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))"
        " AND attname = ANY (%s) AND atttypid = 'date'::regtype",
        [schema, table.name, names],
    )
    found = [name for (name,) in cursor.fetchall()]
    if not found:
        return []
    early = sql.SQL(", ").join(sql.SQL("bool_or({0} < '0001-01-01' AND {0} <> '-infinity')").format(sql.Identifier(name)) for name in found)
    query = sql.SQL("SELECT {} FROM {}").format(early, sql.Identifier(schema, table.name)).as_string(cursor)
    cursor.execute(f"{query} WHERE (\n{condition}\n)" if condition else query)
    return [name for name, is_early in zip(found, cursor.fetchone(), strict=True) if is_early]


def mark(settings: Settings) -> str:
    """The position behind everything committed so far, with a heartbeat behind it so that a quiet source moves past it too."""
    with owner(settings) as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()::text")
        (marked,) = cursor.fetchone()
        cursor.execute("UPDATE ebap.heartbeat SET beat_at = clock_timestamp() WHERE id = 1")
    return str(marked)
