"""Polling with a time limit; a failure reports the last result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def looks(limit_s: float, *, every_s: float = 0.5, pause: Callable[[float], object] = time.sleep) -> Iterator[float]:
    """Yield the elapsed seconds at once, then every `every_s`, and a last time after `limit_s`, even if a check takes longer.

    The caller breaks out of the loop on success; the loop ends at the limit. `pause` sleeps between two checks.
    """
    began = time.monotonic()
    while True:
        elapsed_s = time.monotonic() - began
        yield elapsed_s
        if elapsed_s >= limit_s:
            return
        pause(max(min(every_s, began + limit_s - time.monotonic()), 0.0))


def until(look: Callable[[], T | None], limit_s: float, what: str, *, every_s: float = 0.5, passing: tuple[type[Exception], ...] = ()) -> T:
    """The first true result of `look`; errors of the types `passing` count as not ready.

    Raises TimeoutError with `what` and the last result.
    """
    seen: object = None
    for _ in looks(limit_s, every_s=every_s):
        try:
            found = look()
        except passing as error:
            seen = error
        else:
            if found:
                return found
            seen = found
    raise TimeoutError(f"waited {limit_s:.0f} s for {what}; last seen: {seen!r}")
