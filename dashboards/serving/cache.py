"""Result cache shared by viewers: each result is computed once, kept briefly, and awaited by concurrent requests."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_KEEP_ERROR_S = 1.0


class Cache:
    """Results by key, at most `max_entries`, evicted oldest first; an error is kept for at most a second."""

    def __init__(self, max_entries: int = 200, wait_s: float = 60) -> None:
        self._entries: OrderedDict[str, tuple[float, Future[Any]]] = OrderedDict()
        self._lock = threading.Lock()
        self._max_entries, self._wait_s = max_entries, wait_s

    def get(self, key: str, keep_s: float, compute: Callable[[], Any]) -> Any:
        """The cached result of `compute`, or a new one; raises its exception, TimeoutError if a concurrent call of it does not end."""
        with self._lock:
            known = self._entries.get(key)
            is_mine = known is None or known[0] < time.monotonic()
            future: Future[Any] = Future() if is_mine or known is None else known[1]
            if is_mine:
                self._entries[key] = (float("inf"), future)
                self._entries.move_to_end(key)
                while len(self._entries) > self._max_entries:
                    self._entries.popitem(last=False)
        if is_mine:
            try:
                future.set_result(compute())
            except Exception as error:
                future.set_exception(error)
                keep_s = min(keep_s, _KEEP_ERROR_S)
            with self._lock:
                if self._entries.get(key, (0.0, None))[1] is future:
                    self._entries[key] = (time.monotonic() + keep_s, future)
        return future.result(timeout=self._wait_s)
