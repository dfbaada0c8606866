"""Types of the arguments of `python -m generator`: each gives the value, or the cure in the message of its error."""

from __future__ import annotations

import argparse

MOST_EPS = 30_000
_MOST_ORDERS_PER_DAY = 1_000_000


def count(text: str) -> int:
    """A number of rows, orders or days."""
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_ORDERS_PER_DAY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_MOST_ORDERS_PER_DAY}")
    return int(text)


def rate(text: str) -> float:
    """Operations a second."""
    if not 0 < (number := _number(text)) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate above 0: to stop the shop use `python -m generator pause`")
    return number


def eps(text: str) -> float:
    """Events a second."""
    if not 0 < (number := _number(text)) <= MOST_EPS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of events above 0 and up to {MOST_EPS}: to stop the clicks use `python -m generator pause`"
        )
    return number


def duration(text: str) -> float:
    """Seconds, from a text such as 90, 30s, 5m or 2h."""
    units = {"s": 1, "m": 60, "h": 3600}
    digits, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    if not digits.isdecimal() or not int(digits):
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write 90, 30s, 5m or 2h")
    return float(int(digits) * unit)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
