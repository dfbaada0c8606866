"""Errors of reading and writing Delta tables; `is_retryable` is true where a retry can succeed."""

from __future__ import annotations


class LakeError(RuntimeError):
    """A table that cannot be read or written; the message names it and the cure."""

    is_retryable = False


class AlreadyExists(LakeError):  # noqa: N818
    """An object that was to be new is there already."""


class NoTable(LakeError):  # noqa: N818
    """There is no Delta table at the location."""


class UnsupportedTable(LakeError):  # noqa: N818
    """The table needs something of the Delta protocol that is not implemented here; the message names it."""


class VersionGone(LakeError):  # noqa: N818
    """A version of the table, or a file behind it, has been cleaned away."""


class ConflictError(LakeError):
    """Another writer committed first in a way that matters: read the table again and decide anew."""

    is_retryable = True


class AlreadyApplied(LakeError):  # noqa: N818
    """The table holds this writer's transaction, or a later one: there is nothing left to do.

    `version` is the newest transaction version of that writer in the log.
    """

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message)
        self.version = version


class TooLarge(LakeError):  # noqa: N818
    """Work that is Spark's; the message says why. Nothing was written that a run by Spark would not write again."""
