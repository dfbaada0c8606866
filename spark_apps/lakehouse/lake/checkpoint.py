"""Checkpoints of a Delta log."""

from __future__ import annotations

from lakehouse.lake.log import TableLog


def after_commit(log: TableLog, version: int) -> None:
    """Write a checkpoint where one is due."""
