"""Three-valued logic: True, False, and None for unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lakehouse.transforms.records.keys import Values

Condition = Callable[[Values], bool | None]
Compare = Callable[[Any, Any], bool]


def compared(left: Callable[[Values], Any], right: Callable[[Values], Any], compare: Compare) -> Condition:
    def check(row: Values) -> bool | None:
        a, b = left(row), right(row)
        return None if a is None or b is None else compare(a, b)

    return check


def both(left: Condition, right: Condition) -> Condition:
    def check(row: Values) -> bool | None:
        a = left(row)
        if a is False:
            return False
        b = right(row)
        return False if b is False else None if a is None or b is None else True

    return check


def either(left: Condition, right: Condition) -> Condition:
    def check(row: Values) -> bool | None:
        a = left(row)
        if a is True:
            return True
        b = right(row)
        return True if b is True else None if a is None or b is None else False

    return check


def negated(condition: Condition) -> Condition:
    return lambda row: None if (held := condition(row)) is None else not held
