"""Answers to the boards' questions over Thrift: few connections, a time limit, and a short cache that all viewers share."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from TCLIService import ttypes
from thrift.transport.TTransport import TTransportException

from dashboards.boards import freshness
from dashboards.metabase.files import Question
from lakehouse import liveness, status, tables, thrift
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

_CONNECTIONS = 4
_QUERY_S = 30
_MOST_ROWS = 2000
_MOST_ANSWERS = 200
_POLL_S = 0.02
_LOOK_S = 15
_SEEN_LATELY_S = 120
_FIRST_LOOK_S = 10
_RUNNING = (ttypes.TOperationState.INITIALIZED_STATE, ttypes.TOperationState.PENDING_STATE, ttypes.TOperationState.RUNNING_STATE)
_LOST = (TTransportException, OSError)  # what a connection to a server that went away raises


class AnswerError(RuntimeError):
    """A question without an answer; the message says why, in one line."""


class Answers:
    """What the page asks the Thrift Server, each at most once within `keep_s` seconds however many look."""

    def __init__(self, settings: Settings, keep_s: float = 5.0) -> None:
        self._settings = settings
        self._keep_s = keep_s
        self._kept: OrderedDict[str, tuple[float, Future[Any]]] = OrderedDict()
        self._complete_to: dict[str, datetime | None] = {}
        self._looked_at, self._look_again_at = float("-inf"), 0.0
        self._has_looked = threading.Event()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def answer(self, question: Question, values: dict[str, str]) -> dict[str, Any]:
        """Columns and rows as JSON values, when it was asked, how long that took, and how old the data is, in seconds.

        Raises AnswerError, and BoardError for a filter that does not fit.
        """
        sql = question.render(values)
        found = self._shared(sql, lambda: self._ask(sql))
        complete_to = self._known_complete_to()
        known = [complete_to.get(name) for name in question.tables]
        age_s = None if None in known else max((datetime.now(UTC) - at).total_seconds() for at in known if at)
        return {**found, "age_s": age_s, "allowed_age_s": min(tables.gold(name).allowed_age_s for name in question.tables)}

    def freshness(self) -> dict[str, Any]:
        """How fresh every table is; see `freshness.collect`."""
        return self._shared("freshness", self._collect)

    def choices(self, name: str) -> list[str]:
        """The values that a filter can take."""
        sql = f"SELECT DISTINCT {name} FROM gold.daily_sales WHERE {name} IS NOT NULL ORDER BY 1"
        return [row[0] for row in self._shared(sql, lambda: self._ask(sql))["rows"]]

    def _shared(self, key: str, make: Callable[[], Any]) -> Any:
        """The kept result of `make`, or a new one; who comes while it is made waits for it. An error is kept as short as an answer."""
        with self._lock:
            known = self._kept.get(key)
            is_mine = known is None or known[0] < time.monotonic()
            if is_mine:
                future: Future[Any] = Future()
                self._kept[key] = (float("inf"), future)
                self._kept.move_to_end(key)
                while len(self._kept) > _MOST_ANSWERS:
                    self._kept.popitem(last=False)
            else:
                assert known is not None
                future = known[1]
        if is_mine:
            try:
                future.set_result(make())
            except Exception as error:
                future.set_exception(error)
            with self._lock:
                self._kept[key] = (time.monotonic() + self._keep_s, future)
        try:
            return future.result(timeout=2 * _QUERY_S)
        except TimeoutError:
            raise AnswerError(
                f"no answer within {2 * _QUERY_S} s: the Spark server hangs; `make status`, then `make restart S=spark`"
            ) from None

    def _ask(self, sql: str) -> dict[str, Any]:
        asked_at, began = datetime.now(UTC), time.monotonic()
        try:
            names, rows = self._rows(sql)
        except _LOST:
            names, rows = self._rows(sql)
        return {
            "columns": names,
            "rows": [[_json(value) for value in row] for row in rows],
            "asked_at": asked_at.isoformat(),
            "took_ms": round(1000 * (time.monotonic() - began)),
        }

    def _rows(self, sql: str) -> tuple[list[str], list[Any]]:
        with self._cursor() as cursor:
            cursor.execute(sql)
            return [column[0] for column in cursor.description], cursor.fetchmany(_MOST_ROWS)

    def _known_complete_to(self) -> dict[str, datetime | None]:
        """Up to when each table is complete, as seen lately; empty where it cannot be seen.

        It is a dozen statements, so a viewer waits for them only where nobody has looked for a while.
        """
        with self._lock:
            is_due = time.monotonic() > self._look_again_at
            if is_due:
                self._look_again_at = float("inf")
                self._has_looked.clear()
        if is_due:
            threading.Thread(target=self._look, daemon=True).start()
        if not self._is_seen_lately():
            self._has_looked.wait(_FIRST_LOOK_S)
        return self._complete_to if self._is_seen_lately() else {}

    def _is_seen_lately(self) -> bool:
        return time.monotonic() - self._looked_at < _SEEN_LATELY_S

    def _look(self) -> None:
        try:
            with self._cursor() as cursor:
                self._complete_to = status.gold_complete_to(cursor)
                self._looked_at = time.monotonic()
        except Exception as error:  # ages grow, and are not known in the end, until it is back
            log.warning("how complete the tables are could not be asked: %s", error)
        finally:
            self._look_again_at = time.monotonic() + _LOOK_S
            self._has_looked.set()

    def _collect(self) -> dict[str, Any]:
        runs = freshness.runs(self._settings)
        with self._cursor() as cursor:
            return freshness.collect(cursor, runs, partial(liveness.beat_sent_at, self._settings))

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor on a connection that stays open for the next question; one that failed is closed."""
        if not self._slots.acquire(timeout=_QUERY_S):
            raise AnswerError(f"{_CONNECTIONS} other questions have kept the Spark server busy for {_QUERY_S} s: try again")
        try:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                try:
                    connection = thrift.connect(self._settings)
                except ConnectionError as error:
                    raise AnswerError(str(error)) from error
            try:
                with contextlib.closing(_Cursor(connection.cursor())) as cursor:
                    yield cursor
            except BaseException as error:
                if isinstance(error, _LOST):
                    # The server was restarted since: the connections that wait are as dead, the next one is new.
                    self._forget_connections()
                with contextlib.suppress(Exception):  # it may be what failed
                    connection.close()
                raise
            self._idle.put(connection)
        finally:
            self._slots.release()

    def _forget_connections(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                connection = self._idle.get_nowait()
                with contextlib.suppress(Exception):
                    connection.close()


class _Cursor:
    """A PyHive cursor whose queries have a time limit. Closed after use: the server keeps what a question made until then."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.close, self.fetchall, self.fetchmany = inner.close, inner.fetchall, inner.fetchmany

    @property
    def description(self) -> Any:
        return self._inner.description

    def execute(self, sql: str) -> None:
        """Run the query to its end, or give it up: AnswerError says which."""
        deadline = time.monotonic() + _QUERY_S
        self._inner.execute(sql, async_=True)
        while (seen := self._inner.poll(get_progress_update=False)).operationState in _RUNNING:
            if time.monotonic() > deadline:
                self._inner.cancel()
                raise AnswerError(f"no answer within {_QUERY_S} s: the Spark server is busy, or the question is too large")
            time.sleep(_POLL_S)
        if seen.operationState != ttypes.TOperationState.FINISHED_STATE:
            raise AnswerError(thrift.first_line(seen.errorMessage))


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value
