"""Commits to a Delta table through Spark: done once, or ConflictError and nothing written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lakehouse import platform_tables
from lakehouse.errors import ConflictError
from lakehouse.lake import commits
from tests.refusals import refused

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TABLE = platform_tables.ERASURES
NAME = TABLE.full_name
INSERT = f"INSERT INTO {NAME} (source_table, key) VALUES ('users', '{{key}}')"
MERGE = (
    f"MERGE INTO {NAME} t USING (SELECT 'users' AS source_table, '{{key}}' AS key) s ON t.key = s.key "
    "WHEN NOT MATCHED THEN INSERT (source_table, key) VALUES (s.source_table, s.key)"
)


@pytest.fixture(autouse=True)
def table(spark: SparkSession) -> None:
    """A table with the key `old` at version 1."""
    spark.sql("CREATE SCHEMA IF NOT EXISTS silver")
    spark.sql(f"DROP TABLE IF EXISTS {NAME}")
    spark.sql(f"CREATE TABLE {NAME} ({TABLE.schema_ddl()}) USING delta")
    spark.sql(INSERT.format(key="old"))


def keys(spark: SparkSession) -> list[str]:
    return sorted(row["key"] for row in spark.table(NAME).collect())


def once(spark: SparkSession, statement: str, key: str, read_at: int) -> None:
    commits.commit_once(spark, TABLE, statement.format(key=key), read_at=read_at, writer="w", checkpoint={"at": read_at})


@pytest.mark.parametrize("statement", [INSERT, MERGE])
def test_of_two_commits_made_from_one_version_one_is_done(spark: SparkSession, statement: str) -> None:
    once(spark, statement, "first", 1)
    with refused(NAME, "version 1", kind=ConflictError, is_retryable=True):
        once(spark, statement, "second", 1)
    assert keys(spark) == ["first", "old"]
    once(spark, statement, "second", 2)
    assert keys(spark) == ["first", "old", "second"]
    newest = spark.sql(f"DESCRIBE HISTORY {NAME} LIMIT 1").first()
    assert newest and json.loads(newest["userMetadata"])["at"] == 2


@pytest.mark.parametrize("statement", [INSERT, MERGE])
def test_a_commit_whose_number_is_taken_between_look_and_write_is_a_conflict(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """Delta skips it without an error."""
    once(spark, statement, "first", 1)
    monkeypatch.setattr(commits, "content_version", lambda spark, name: 1)
    with refused(NAME, kind=ConflictError, is_retryable=True):
        once(spark, statement, "second", 1)
    assert keys(spark) == ["first", "old"]


def test_compaction_since_the_version_read_is_no_conflict(spark: SparkSession) -> None:
    spark.sql(INSERT.format(key="older"))
    spark.sql(f"OPTIMIZE {NAME}")
    assert (commits.version(spark, NAME), commits.content_version(spark, NAME)) == (3, 2)
    once(spark, MERGE, "first", 2)
    assert keys(spark) == ["first", "old", "older"]


@pytest.mark.parametrize(
    ("text", "kind"), [("[DELTA_CONCURRENT_APPEND] files were added", ConflictError), ("[CAST_INVALID_INPUT] no number", RuntimeError)]
)
def test_only_a_refusal_for_another_writer_is_a_conflict(spark: SparkSession, text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind), commits.commit(spark, NAME):
        raise RuntimeError(text)
