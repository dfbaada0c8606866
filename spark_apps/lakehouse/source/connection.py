"""Connections to the captured database; no other module opens one.

The database or a role may have its own settings (`ALTER DATABASE … SET`, `ALTER ROLE … SET`). Every session, including the connector's,
therefore sets the parameters that it depends on when it connects.
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
    # A value has the same text in the stream, the snapshot and the comparison.
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # Backslashes in conditions and names are literal.
    "standard_conforming_strings": "on",
    # A snapshot can take hours, and a comparison waits for the pipeline inside its transaction.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    # Sessions write the heartbeat and signals; under a stricter isolation, concurrent heartbeat updates would fail.
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
}
# libpq and the JDBC driver send these in the startup packet, where they override database and role settings.
OPTIONS = " ".join("-c {}={}".format(name, value.replace(" ", "\\ ")) for name, value in _PROFILE.items())
# Not possible as options: the search path depends on the current one, and only newer servers have transaction_timeout. With pg_catalog
# first, no function or operator of the database shadows a built-in one; extensions stay reachable.
FIRST_STATEMENT = (
    "SELECT pg_catalog.set_config(name, CASE name WHEN 'search_path' THEN pg_catalog.concat_ws(', ', 'pg_catalog', nullif(setting, ''))"
    " ELSE '0' END, false) FROM pg_catalog.pg_settings WHERE name IN ('search_path', 'transaction_timeout')"
)


def capture_address(settings: Settings) -> dict[str, str]:
    """Address of the capture role as libpq keywords without a password: the owner's, with another user."""
    from psycopg2.extensions import parse_dsn  # this module is also imported where no driver is installed

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
    """Session options for that address: its own, followed by ours, which override them."""
    return f"{address.get('options', '')} {OPTIONS}".strip()


def dates_before_christ(cursor: Any, schema: str, table: Table, condition: str | None = None) -> list[str]:
    """DATE columns with values before the year 1, which a snapshot, unlike the stream, sends as AD dates (Debezium 3.7).

    Reads the same rows as the snapshot. Ignores columns that are not of type date at the source.
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
    """Current WAL insert LSN, after everything committed so far; then a heartbeat, so that capture passes it on a quiet source."""
    with owner(settings) as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()::text")
        (marked,) = cursor.fetchone()
        cursor.execute("UPDATE ebap.heartbeat SET beat_at = clock_timestamp() WHERE id = 1")
    return str(marked)


def source_identity(settings: Settings) -> tuple[str | None, str | None]:
    """`<system identifier>/<timeline>` of the source and None, or None and the login error.

    Uses a replication connection of the capture role, which also checks its login, its REPLICATION attribute and the network.
    """
    import psycopg2

    try:
        with capture_replication(settings) as opened, opened.cursor() as cursor:
            cursor.execute("IDENTIFY_SYSTEM")
            answer = cursor.fetchone()
    except psycopg2.OperationalError as error:
        return None, " ".join(str(error).split())
    return (f"{answer[0]}/{answer[1]}", None) if answer else (None, "IDENTIFY_SYSTEM gave no answer")
