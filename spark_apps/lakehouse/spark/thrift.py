"""Client of the Thrift Server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings


def connect(settings: Settings) -> Any:
    """A PyHive connection; NotReadyError if no server answers."""
    from pyhive import hive
    from thrift.transport.TTransport import TTransportException

    try:
        return hive.connect(host=settings.spark_host, port=settings.thrift_port, username="ebap")
    except TTransportException:
        raise NotReadyError(
            f"nothing answers on the Thrift port {settings.thrift_port}", "run `make up`, or set EBAP_THRIFT_PORT"
        ) from None


@contextlib.contextmanager
def cursor(settings: Settings) -> Iterator[Any]:
    """A cursor on a connection of its own."""
    connection = connect(settings)
    try:
        yield connection.cursor()
    finally:
        connection.close()


def query(settings: Settings, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and all rows of one query."""
    with cursor(settings) as open_cursor:
        open_cursor.execute(sql)
        names = [column[0] for column in open_cursor.description or []]
        return names, open_cursor.fetchall() if names else []


def first_line(message: str | None) -> str:
    """The first line of a failed query's message, without the server's stack trace."""
    return (message or "the Spark server gave no reason").strip().splitlines()[0]


def print_query(settings: Settings, sql: str) -> int:
    """Print one query's rows as a table; a query that fails prints the server's first line and returns 1."""
    import sys

    from pyhive.exc import OperationalError
    from rich.console import Console
    from rich.table import Table

    try:
        names, rows = query(settings, sql)
    except OperationalError as error:
        status = getattr(error.args[0], "status", None)
        print(f"sql: {first_line(status.errorMessage if status else str(error))}", file=sys.stderr)
        return 1
    shown = Table(*names)
    for row in rows:
        shown.add_row(*("NULL" if value is None else str(value) for value in row))
    console = Console()
    console.print(shown)
    console.print(f"{len(rows)} rows")
    return 0
