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
    """Kept results by key, at most `most` of them, those made first going first; an error is kept for a second at most."""

    def __init__(self, most: int = 200, wait_s: float = 60) -> None:
        self._kept: OrderedDict[str, tuple[float, Future[Any]]] = OrderedDict()
        self._lock = threading.Lock()
        self._most, self._wait_s = most, wait_s

    def get(self, key: str, keep_s: float, make: Callable[[], Any]) -> Any:
        """The kept result of `make`, or a new one; raises what `make` raised, TimeoutError where another's call of it does not end."""
        with self._lock:
            known = self._kept.get(key)
            is_mine = known is None or known[0] < time.monotonic()
            future: Future[Any] = Future() if is_mine or known is None else known[1]
            if is_mine:
                self._kept[key] = (float("inf"), future)
                self._kept.move_to_end(key)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        if is_mine:
            try:
                future.set_result(make())
            except Exception as error:
                future.set_exception(error)
                keep_s = min(keep_s, _KEEP_ERROR_S)
            with self._lock:
                if self._kept.get(key, (0.0, None))[1] is future:
                    self._kept[key] = (time.monotonic() + keep_s, future)
        return future.result(timeout=self._wait_s)
