"""Errors with a known cause and a cure, their output on a command line, and retry after write conflicts.

Any other exception is a bug and keeps its stack trace.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A write takes seconds, and so does a conflicting one: the third try usually succeeds.
_TRIES = 5


class EbapError(Exception):
    """An error with a known cause `what` and a `cure`; its text is both in one line.

    `is_retryable`: the same work can succeed if it is repeated at once. `exit_code`: default exit code of a command line.
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
    """An invalid declaration, or invalid SQL of one."""


class ConflictError(EbapError):
    """A concurrent writer committed first and nothing was written: read again and retry."""

    def __init__(self, what: str, cure: str = "run it again") -> None:
        super().__init__(what, cure, is_retryable=True)


class TooLargeError(EbapError):
    """Work that requires Spark; what was written so far is idempotent with a run by Spark."""


class NotReadyError(EbapError):
    """A part that does not answer, or was not ready in time."""


def retry(do: Callable[[], T]) -> T:
    """Result of `do`, repeated while it raises a retryable error; the error of the fifth try is raised."""
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
    """The exit code of a command line that runs `do`: its result or 0; an EbapError is reported as one line and gives its own code.

    `failed` replaces the code of every EbapError.
    """
    try:
        return do() or 0
    except EbapError as error:
        report(f"{label} {error}")
        return error.exit_code if failed is None else failed
