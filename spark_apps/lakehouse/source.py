"""The captured database, as its schema's owner sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lakehouse.settings import Settings

SLOT = "ebap"


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
