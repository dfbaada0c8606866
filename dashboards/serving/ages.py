"""Completeness of the tables, looked up in the background so that no answer waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

log = logging.getLogger(__name__)

_REFRESH_S = 15
_VALID_S = 120
_WAIT_S = 0.5

CompleteTo = Callable[[], dict[str, datetime | None]]


class Ages:
    """The last result of `complete_to`, refreshed in a background thread on request, at most every 15 s."""

    def __init__(self, complete_to: CompleteTo) -> None:
        self._complete_to = complete_to
        self._known: dict[str, datetime | None] = {}
        self._refreshed_at, self._next_refresh_at = float("-inf"), 0.0
        self._lock, self._is_refreshed = threading.Lock(), threading.Event()

    def age_s(self, names: tuple[str, ...]) -> float | None:
        """Seconds since the time up to which all of these gold tables are complete; None while that is not known."""
        with self._lock:
            is_due = time.monotonic() > self._next_refresh_at
            if is_due:
                self._next_refresh_at = float("inf")
                self._is_refreshed.clear()
        if is_due:
            threading.Thread(target=self._refresh, daemon=True, name="ages").start()
        if not self._is_valid():
            # Takes milliseconds, unless the lake or Postgres is slow.
            self._is_refreshed.wait(_WAIT_S)
        known = self._known if self._is_valid() else {}
        moments = [known.get(name) for name in names]
        return None if None in moments else max((datetime.now(UTC) - at).total_seconds() for at in moments if at)

    def _refresh(self) -> None:
        try:
            self._known = self._complete_to()
            self._refreshed_at = time.monotonic()
        except Exception as error:  # reported ages grow until the last result expires
            log.warning("the completeness of the tables could not be read: %s", error)
        finally:
            self._next_refresh_at = time.monotonic() + _REFRESH_S
            self._is_refreshed.set()

    def _is_valid(self) -> bool:
        return time.monotonic() - self._refreshed_at < _VALID_S
