"""The captured database, as its schema's owner sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def mark(settings: Settings) -> str:
    """The position behind everything committed so far, with a heartbeat behind it so that a quiet source moves past it too."""
    with owner(settings) as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn()::text")
        (marked,) = cursor.fetchone()
        cursor.execute("UPDATE ebap.heartbeat SET beat_at = clock_timestamp() WHERE id = 1")
    return str(marked)
