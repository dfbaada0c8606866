"""Errors that say whether trying again can help."""

from __future__ import annotations


class ConflictError(RuntimeError):
    """Another writer committed first; nothing was written, and the whole run can be tried again."""
