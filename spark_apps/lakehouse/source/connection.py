"""Connection to the captured database as its schema's owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lakehouse.contract import Table
from lakehouse.settings import Settings

SLOT = "ebap"
CONNECTOR = "ebap"


@contextmanager
def owner(settings: Settings) -> Iterator[Any]:
    """A cursor as the owner of the captured schema, in one transaction that commits at the end of the block."""
    import psycopg2  # declarations and settings are read where no driver is installed

    connection = psycopg2.connect(settings.shop_dsn, password=settings.secret("shop_owner"), connect_timeout=10)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


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
