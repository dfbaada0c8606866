"""Truncates of a source table: one record for all of its keys, so that they are kept with the table's mark and not with a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from lakehouse.transforms.records.truncates import Truncate, merged

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.contract import Table

TRUNCATE = "truncate"
_ROWS = "_epoch INT, _lsn BIGINT, _txid BIGINT, _offset BIGINT, _commit_us BIGINT, _is_placed BOOLEAN"


def found() -> Column:
    """Aggregate over decoded records: the truncates among them, for `of`."""
    from pyspark.sql import functions as F  # the rest is used where there is no Spark

    is_one = (F.col("_kind") == TRUNCATE) & F.col("_reason").isNull()
    return F.collect_set(F.when(is_one, F.struct("_epoch", "_lsn", "_txid", "_offset", F.unix_micros("_commit_at"))))


def of(rows: Iterable[tuple[int, int, int | None, int, int]]) -> tuple[Truncate, ...]:
    """What `found` found, one a place."""
    return merged((), (Truncate(*row) for row in rows))


def of_keys(
    spark: SparkSession, table: Table, truncates: Iterable[Truncate], new: Iterable[Truncate]
) -> Callable[[DataFrame], DataFrame] | None:
    """Gives keys their truncates, as `history.Incoming` wants them; `new` are those that no run has applied yet."""
    from pyspark.sql import functions as F

    places = {truncate.place for truncate in new}
    rows = [(t.epoch, t.lsn, t.txid, t.offset, t.commit_us, t.place not in places) for t in truncates]
    if not rows:
        return None
    brought = spark.createDataFrame(rows, _ROWS).select(
        F.lit(TRUNCATE).alias("_kind"),
        *("_epoch", "_lsn", "_txid", "_offset", "_is_placed"),
        F.timestamp_micros("_commit_us").alias("_commit_at"),
        F.lit(TRUNCATE).alias("_content_hash"),
        F.array().cast("ARRAY<STRING>").alias("_unchanged"),
    )
    return lambda keys: keys.select(*table.key).crossJoin(F.broadcast(brought))
