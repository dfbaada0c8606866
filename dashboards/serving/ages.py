"""Completeness of the tables, looked up in the background so that no answer waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

log = logging.getLogger(__name__)

_LOOK_S = 15
_SEEN_LATELY_S = 120
_PATIENCE_S = 0.5

CompleteTo = Callable[[], dict[str, datetime | None]]


class Ages:
    """What `complete_to` said last; asked again in a thread of its own, at most every 15 s while somebody wants to know."""

    def __init__(self, complete_to: CompleteTo) -> None:
        self._ask = complete_to
        self._known: dict[str, datetime | None] = {}
        self._seen_at, self._look_again_at = float("-inf"), 0.0
        self._lock, self._has_looked = threading.Lock(), threading.Event()

    def age_s(self, names: tuple[str, ...]) -> float | None:
        """Seconds since the moment up to which all of these gold tables are complete; None while that is not known."""
        with self._lock:
            is_due = time.monotonic() > self._look_again_at
            if is_due:
                self._look_again_at = float("inf")
                self._has_looked.clear()
        if is_due:
            threading.Thread(target=self._look, daemon=True, name="ages").start()
        if not self._is_seen_lately():
            # It takes milliseconds, unless the lake or Postgres is slow.
            self._has_looked.wait(_PATIENCE_S)
        known = self._known if self._is_seen_lately() else {}
        moments = [known.get(name) for name in names]
        return None if None in moments else max((datetime.now(UTC) - at).total_seconds() for at in moments if at)

    def _look(self) -> None:
        try:
            self._known = self._ask()
            self._seen_at = time.monotonic()
        except Exception as error:  # ages grow, and are not known in the end, until it is back
            log.warning("how complete the tables are is not known: %s", error)
        finally:
            self._look_again_at = time.monotonic() + _LOOK_S
            self._has_looked.set()

    def _is_seen_lately(self) -> bool:
        return time.monotonic() - self._seen_at < _SEEN_LATELY_S
