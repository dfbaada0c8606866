"""Errors of reading and writing Delta tables, beside those of `lakehouse.errors`."""

from __future__ import annotations

from lakehouse.errors import EbapError


class NoTableError(EbapError):
    """There is no Delta table at the location."""


class VersionGoneError(EbapError):
    """A version of the table, or a file behind it, has been deleted; a newer version can be read."""

    def __init__(self, what: str, cure: str = "") -> None:
        super().__init__(what, cure, is_retryable=True)


class AlreadyAppliedError(EbapError):
    """The table has this writer's transaction, or a later one: nothing is left to do."""
