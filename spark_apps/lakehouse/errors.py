"""Errors with a known cause and a cure, their form on a command line, and retry where another writer was first.

Any other exception is a bug and keeps its stack trace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A writer is at work for seconds, the write that it overtakes takes as long: the third try has mostly not met one.
_TRIES = 5


class EbapError(Exception):
    """An error with a known cause: `what` states it, `cure` the way out, and its text is both in one line.

    `is_retryable`: the same work can succeed when it is done again at once. `exit_code`: that of a command line which documents no other.
    """

    exit_code = 2

    def __init__(self, what: str, cure: str = "", *, is_retryable: bool = False) -> None:
        super().__init__(what, cure)
        self.what, self.cure, self.is_retryable = what, cure, is_retryable

    def __str__(self) -> str:
        return f"{self.what}: {self.cure}" if self.cure else self.what


class SettingsError(EbapError):
    """A setting that is missing or does not fit."""


class ContractError(EbapError):
    """A declaration, or its SQL, that is wrong."""


class ConflictError(EbapError):
    """Another writer was first and nothing was written: read again, decide anew."""

    def __init__(self, what: str, cure: str = "run it again") -> None:
        super().__init__(what, cure, is_retryable=True)


class TooLargeError(EbapError):
    """Work that is Spark's; nothing was written that a run by Spark would not write again."""


class NotReadyError(EbapError):
    """A part that does not answer, or did not get there in time."""


def retry(do: Callable[[], T]) -> T:
    """What `do` gives, done again while it raises a retryable error; the error of the last of five tries is raised as it is."""
    for _ in range(_TRIES - 1):
        try:
            return do()
        except EbapError as error:
            if not error.is_retryable:
                raise
    return do()


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def exit_code_of(
    label: str, do: Callable[[], int | None], *, failed: int | None = None, report: Callable[[str], object] = _to_stderr
) -> int:
    """The exit code of a command line that does `do`: what that returns, else 0; after an EbapError, reported as one line, its own.

    `failed` is the documented exit code of a program whose errors all have the same.
    """
    try:
        return do() or 0
    except EbapError as error:
        report(f"{label} {error}")
        return error.exit_code if failed is None else failed
