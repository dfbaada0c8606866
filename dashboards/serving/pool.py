"""Pool of connections to the Spark server over Thrift, with a time limit on each query."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pyhive.exc import Error as HiveError
from TCLIService import ttypes
from thrift.transport.TTransport import TTransportException

from lakehouse import wait
from lakehouse.errors import EbapError
from lakehouse.settings import Settings
from lakehouse.spark import thrift

_CONNECTIONS = 4
_QUERY_S = 30
_MOST_ROWS = 2000
_POLL_S = 0.02
_RUNNING = (ttypes.TOperationState.INITIALIZED_STATE, ttypes.TOperationState.PENDING_STATE, ttypes.TOperationState.RUNNING_STATE)
_LOST = (TTransportException, OSError)  # raised by a connection whose server has stopped


class Pool:
    """Connections to the Thrift Server, at most four at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def rows(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Names of the columns, and the rows; raises EbapError."""
        for is_last in (False, True):
            try:
                with self.cursor() as cursor:
                    cursor.execute(sql)
                    names = [column[0] for column in cursor.description]
                    return names, [tuple(map(_utc, row)) for row in cursor.fetchmany(_MOST_ROWS)]
            except _LOST:
                if is_last:  # a restart of the server breaks the first connection, not the second
                    raise EbapError("the Spark server is not available", "`make status` shows its state") from None
            except HiveError as error:
                raise EbapError(f"the Spark server refused the query: {thrift.first_line(str(error))}") from None
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        """A cursor on a pooled connection; a connection that failed is closed."""
        if not self._slots.acquire(timeout=_QUERY_S):
            raise EbapError(f"{_CONNECTIONS} other queries kept the Spark server busy for {_QUERY_S} s", "try again")
        try:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = thrift.connect(self._settings)
            try:
                with contextlib.closing(_Cursor(connection.cursor())) as cursor:
                    yield cursor
            except BaseException as error:
                if isinstance(error, _LOST):
                    # The server was restarted: idle connections are broken too.
                    self._close_idle()
                with contextlib.suppress(Exception):  # it may be what failed
                    connection.close()
                raise
            self._idle.put(connection)
        finally:
            self._slots.release()

    def _close_idle(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                connection = self._idle.get_nowait()
                with contextlib.suppress(Exception):
                    connection.close()


class _Cursor:
    """A PyHive cursor whose queries have a time limit. Close it after use: the server keeps a query's resources until then."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.close, self.fetchall, self.fetchmany = inner.close, inner.fetchall, inner.fetchmany

    @property
    def description(self) -> Any:
        return self._inner.description

    def execute(self, sql: str) -> None:
        """Run the query to its end; raises EbapError if it fails or exceeds the time limit."""
        self._inner.execute(sql, async_=True)
        for _ in wait.looks(_QUERY_S, every_s=_POLL_S):
            seen = self._inner.poll(get_progress_update=False)
            if seen.operationState not in _RUNNING:
                break
        else:
            self._inner.cancel()
            raise EbapError(f"no result within {_QUERY_S} s: the Spark server is busy, or the query is too large")
        if seen.operationState != ttypes.TOperationState.FINISHED_STATE:
            raise EbapError(thrift.first_line(seen.errorMessage))


def _utc(value: Any) -> Any:
    """The Thrift Server returns timestamps without a zone, in the session's time zone, which is UTC."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
