"""Profiles of users as of an instant: the versions of silver.users_history that some users have had."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from lakehouse import platform_tables, tables

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.lake.lake import Lake

_USERS = tables.source("users")
# An instant takes the last version begun at or before it, and the first version where none has: the rule of gold.order_lines.
_TAKEN = """
SELECT user_id, region AS user_region, tier AS user_tier, _valid_from AS valid_from, _valid_to AS valid_to,
  CASE WHEN lag(_valid_from) OVER versions IS NOT NULL THEN _valid_from END AS taken_from,
  lead(_valid_from) OVER versions AS taken_to
FROM changes
WHERE _is_visible
WINDOW versions AS (PARTITION BY user_id ORDER BY _valid_from)"""


def versions(lake: Lake, users: Collection[int]) -> pa.Table:
    """Every version of these users, with the instants [taken_from, taken_to) that take it; NULL is without bound."""
    stored = platform_tables.stored(_USERS)
    columns = ["user_id", "region", "tier", "_valid_from", "_valid_to", "_is_visible"]
    changes = lake.read(stored, columns, where={"user_id": sorted(users)})  # noqa: F841  (DuckDB reads the variable)
    return lake.con.sql(_TAKEN).to_arrow_table()


def joined(spark: SparkSession, events: DataFrame, found: pa.Table) -> DataFrame:
    """The events with `user_region`, `user_tier` and `is_assumed`; `found` has the versions of every user among them."""
    spark.createDataFrame(found).createOrReplaceTempView("profile_versions")
    events.createOrReplaceTempView("events_to_join")
    return spark.sql(
        """
        SELECT /*+ BROADCAST(v) */ e.*, v.user_region, v.user_tier,
          v.user_id IS NOT NULL AND NOT (v.valid_from <= e.event_at AND (v.valid_to IS NULL OR e.event_at < v.valid_to)) AS is_assumed
        FROM events_to_join AS e
        LEFT JOIN profile_versions AS v
          ON v.user_id = e.user_id
          AND (v.taken_from IS NULL OR v.taken_from <= e.event_at) AND (v.taken_to IS NULL OR e.event_at < v.taken_to)
        """
    )
