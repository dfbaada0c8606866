"""Polling with a limit; a failure reports what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def looks(limit_s: float, *, every_s: float = 0.5, pause: Callable[[float], object] = time.sleep) -> Iterator[float]:
    """Yield the elapsed seconds at once, then each `every_s`, and for the last time once `limit_s` have passed, however long a look takes.

    A caller that sees what it waits for leaves the loop; what follows the loop is the case of the limit. `pause` is what waits.
    """
    began = time.monotonic()
    while True:
        elapsed_s = time.monotonic() - began
        yield elapsed_s
        if elapsed_s >= limit_s:
            return
        pause(max(min(every_s, began + limit_s - time.monotonic()), 0.0))


def until(look: Callable[[], T | None], limit_s: float, what: str, *, every_s: float = 0.5, passing: tuple[type[Exception], ...] = ()) -> T:
    """What `look` returns once that is true; an error of the kinds `passing` counts as not yet.

    Raises TimeoutError with what was awaited and what was seen last.
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
