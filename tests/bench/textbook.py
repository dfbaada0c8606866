"""The peers of line 6: hand-written type 2 history in Spark, over the same bronze, in the same session.

They do less than refine: no late changes, no bad records, no deletes, no changes without a version. Their tables are created by a plain
CREATE TABLE, with deletion vectors, as silver has, if `has_deletion_vectors` is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.lake import storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_USERS = tables.source("users")
_COLUMNS = ", ".join(_USERS.column_names)
_VALUES = [name for name in _USERS.column_names if name != "user_id"]
_IMAGE = f"after STRUCT<{', '.join(f'{column.name}: {column.type}' for column in _USERS.columns)}>"
# Dates in the envelope end with a zone.
_OPTIONS = {"dateFormat": "yyyy-MM-dd'Z'"}


def hashed(spark: SparkSession, rows: str, columns: str = _COLUMNS) -> tuple[int, int]:
    """The number of rows, and the sum of their hashes, which does not depend on their order."""
    found = spark.sql(f"SELECT count(*), sum(CAST(xxhash64({columns}) AS DECIMAL(38, 0))) FROM {rows}").first()
    assert found
    return found[0], int(found[1] or 0)


def changes(spark: SparkSession, first: int, last: int) -> DataFrame:
    """The last change of each key in these versions of bronze, typed."""
    landed = storage.read_changes_feed(spark, first, last).where(f"source_table = '{_USERS.name}'")
    image = F.from_json(F.col("value").cast("string"), _IMAGE, _OPTIONS)["after"]
    newest = landed.groupBy("key").agg(F.max_by(F.struct(image.alias("row"), "commit_at"), "lsn").alias("newest"))
    return newest.select("newest.row.*", "newest.commit_at")


def fill(spark: SparkSession, table: str, *, has_deletion_vectors: bool) -> None:
    """Create a peer's table with silver's versions and the columns of both forms."""
    spark.sql(f"""CREATE OR REPLACE TABLE {table} USING DELTA
        TBLPROPERTIES ('delta.enableDeletionVectors' = '{str(has_deletion_vectors).lower()}') AS
        SELECT {_COLUMNS}, {_scd_id("_valid_from")} AS dbt_scd_id,
            _valid_from AS effective_at, _valid_to AS ended_at, _is_current AS is_current
        FROM silver.users_history""")


def close_and_insert(spark: SparkSession, table: str) -> None:
    """The staged MERGE of Delta's documentation and of mack's `type_2_scd_upsert`: a changed key is staged twice, once with a NULL key."""
    differs = " OR ".join(f"NOT b.{name} <=> s.{name}" for name in _VALUES)
    spark.sql(f"""MERGE INTO {table} b USING (
            SELECT CAST(NULL AS BIGINT) AS merge_key, s.* FROM changes s JOIN {table} b ON b.user_id = s.user_id
            WHERE b.is_current AND ({differs})
            UNION ALL SELECT user_id AS merge_key, * FROM changes) s
        ON b.user_id = s.merge_key AND b.is_current
        WHEN MATCHED AND ({differs}) THEN UPDATE SET is_current = false, ended_at = s.commit_at
        WHEN NOT MATCHED THEN INSERT ({_COLUMNS}, is_current, effective_at, ended_at) VALUES ({_of("s")}, true, s.commit_at, NULL)""")


def snapshot(spark: SparkSession, table: str) -> None:
    """The SQL of a dbt-spark snapshot by timestamp: rows to insert and rows to close are staged, and merged by their hashed id."""
    open_rows = f"SELECT user_id, dbt_scd_id, effective_at FROM {table} WHERE ended_at IS NULL"
    spark.sql(f"""CREATE OR REPLACE TEMPORARY VIEW staged AS
        SELECT 'insert' AS change_type, {_scd_id("s.commit_at", "s.")} AS scd_id, s.*, CAST(NULL AS TIMESTAMP) AS closed_at
        FROM changes s LEFT JOIN ({open_rows}) b ON b.user_id = s.user_id WHERE b.user_id IS NULL OR b.effective_at < s.commit_at
        UNION ALL SELECT 'update' AS change_type, b.dbt_scd_id AS scd_id, s.*, s.commit_at AS closed_at
        FROM changes s JOIN ({open_rows}) b ON b.user_id = s.user_id WHERE b.effective_at < s.commit_at""")
    spark.sql(f"""MERGE INTO {table} b USING staged s ON b.dbt_scd_id = s.scd_id
        WHEN MATCHED AND b.ended_at IS NULL AND s.change_type = 'update' THEN UPDATE SET ended_at = s.closed_at
        WHEN NOT MATCHED AND s.change_type = 'insert'
        THEN INSERT ({_COLUMNS}, dbt_scd_id, effective_at, ended_at) VALUES ({_of("s")}, s.scd_id, s.commit_at, NULL)""")


def _of(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in _USERS.column_names)


def _scd_id(at: str, alias: str = "") -> str:
    return f"md5(concat_ws('|', {alias}user_id, {at}))"
