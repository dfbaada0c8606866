"""Commits to stored tables through Spark: committed, overtaken by another writer (ConflictError), or failed for good."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConflictError, EbapError
from lakehouse.spark import delta

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

    from lakehouse.contract import Table

# Delta's names of commits that leave every row as it was.
MAINTENANCE = ("OPTIMIZE", "REORG", "VACUUM START", "VACUUM END")
# The setting that puts a text beside a commit.
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


def version(spark: SparkSession, full_name: str) -> int:
    """Newest Delta version of a table."""
    # Collected as it comes: the command has run by then, and choosing a column of it would cost a plan of its own.
    return int(_history(spark, full_name, "LIMIT 1")[0]["version"])


def content_version(spark: SparkSession, full_name: str) -> int:
    """Newest version of a table that changed its rows; maintenance, which only rewrites files, does not count."""
    # Mostly the newest one: the whole history of a table with thousands of versions takes seconds to read.
    for limit in ("LIMIT 10", ""):
        history = _history(spark, full_name, limit)
        changes = [int(row["version"]) for row in history if row["operation"] not in MAINTENANCE]
        if changes:
            return max(changes)
    # The log no longer reaches back to the last change: it lies before all that is left.
    return min(int(row["version"]) for row in history)


@contextmanager
def commit(spark: SparkSession, full_name: str, metadata: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Within the block: one write to a stored table, with the metadata in its commit. ConflictError where another writer was first."""
    carried = {} if metadata is None else {_USER_METADATA: json.dumps(metadata, sort_keys=True)}
    try:
        with delta.configured(spark, carried):
            yield
    except Exception as error:  # see delta: its class depends on the kind of session
        if delta.is_overtaken(error):
            raise ConflictError(f"{full_name} was written by another run meanwhile") from error
        raise


def commit_once(
    spark: SparkSession, table: Table, statement: str, *, read_at: int, writer: str, checkpoint: Mapping[str, Any] | None = None
) -> None:
    """Run a statement that was made from version `read_at` of a stored table, with the checkpoint in its commit.

    Raises ConflictError, and nothing is written, where rows have changed since that version; compaction does not count. Commits are
    numbered by `writer` and `read_at`, and Delta skips one whose number is taken: of all that is made from one version, one is committed.
    """
    name = table.full_name
    moved = ConflictError(f"{name} is no longer at version {read_at}: another run has written it")
    if content_version(spark, name) != read_at:
        raise moved
    token = secrets.token_hex(16)
    number = {"spark.databricks.delta.write.txnAppId": writer, "spark.databricks.delta.write.txnVersion": str(read_at + 1)}
    with delta.configured(spark, number), commit(spark, name, {**(checkpoint or {}), "token": token}):
        counted = spark.sql(statement).collect()
    if not _is_committed(spark, name, counted, token):
        raise moved


def _is_committed(spark: SparkSession, full_name: str, counted: list[Row], token: str) -> bool:
    """Whether a statement made a commit: Delta skips one without an error. A MERGE counts its rows, an INSERT only leaves its token."""
    if counted:
        return bool(counted[0]["num_affected_rows"])
    return any(token in (row["userMetadata"] or "") for row in _history(spark, full_name, "LIMIT 20"))


def _history(spark: SparkSession, full_name: str, limit: str) -> list[Row]:
    found = spark.sql(f"DESCRIBE HISTORY {full_name} {limit}").collect()
    if not found:
        raise EbapError(f"{full_name} has no history", "run publish.py, which creates it")
    return found
