"""Commits to stored tables through Spark: each succeeds, conflicts with another writer (ConflictError), or fails permanently."""

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

# Delta's operations that leave every row unchanged.
MAINTENANCE_OPERATIONS = ("OPTIMIZE", "REORG", "VACUUM START", "VACUUM END")
# The setting for the user metadata of a commit.
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


def version(spark: SparkSession, full_name: str) -> int:
    """Newest Delta version of a table."""
    # Collected directly: selecting a column of the result would plan another query.
    return int(_history(spark, full_name, "LIMIT 1")[0]["version"])


def content_version(spark: SparkSession, full_name: str) -> int:
    """Newest version of a table that changed rows; maintenance operations do not count."""
    # The newest commits usually contain one; reading the whole history of thousands of versions takes seconds.
    for limit in ("LIMIT 10", ""):
        history = _history(spark, full_name, limit)
        changed = [int(row["version"]) for row in history if row["operation"] not in MAINTENANCE_OPERATIONS]
        if changed:
            return max(changed)
    # The log no longer reaches back to the last change: return the oldest version left.
    return min(int(row["version"]) for row in history)


@contextmanager
def commit(spark: SparkSession, full_name: str, metadata: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Commit one write to a stored table within the block, with the metadata. Raises ConflictError if another writer committed first."""
    carried = {} if metadata is None else {_USER_METADATA: json.dumps(metadata, sort_keys=True)}
    try:
        with delta.configured(spark, carried):
            yield
    except Exception as error:  # see delta: its class depends on the kind of session
        if delta.is_overtaken(error):
            raise ConflictError(f"{full_name} was written by a concurrent run") from error
        raise


def commit_once(
    spark: SparkSession, table: Table, statement: str, *, read_at: int, writer: str, checkpoint: Mapping[str, Any] | None = None
) -> None:
    """Run a statement computed from version `read_at` of a stored table, with the checkpoint in its commit.

    Raises ConflictError without a write if rows have changed since that version; maintenance operations do not count. Commits are numbered
    by `writer` and `read_at`, and Delta skips a number that is taken, so only one of the statements computed from a version is committed.
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
    """Whether a statement was committed: Delta skips one without an error. MERGE returns row counts, INSERT is found by its token."""
    if counted:
        return bool(counted[0]["num_affected_rows"])
    return any(token in (row["userMetadata"] or "") for row in _history(spark, full_name, "LIMIT 20"))


def _history(spark: SparkSession, full_name: str, limit: str) -> list[Row]:
    found = spark.sql(f"DESCRIBE HISTORY {full_name} {limit}").collect()
    if not found:
        raise EbapError(f"{full_name} has no history", "run publish.py, which creates it")
    return found
