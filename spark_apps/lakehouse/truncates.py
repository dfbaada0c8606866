"""Truncates of a source table: one record for all of its keys, so that they are kept with the table's mark and not with a key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.contract import Table

TRUNCATE = "truncate"
_ROWS = "_epoch INT, _lsn BIGINT, _txid BIGINT, _offset BIGINT, _commit_us BIGINT, _is_placed BOOLEAN"


@dataclass(frozen=True, order=True)
class Truncate:
    """One TRUNCATE at the source: its place, its transaction, the smallest offset seen, its commit time in microseconds."""

    epoch: int
    lsn: int
    txid: int | None
    offset: int
    commit_us: int

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.lsn


def found() -> Column:
    """Aggregate over decoded records: the truncates among them, for `of`."""
    from pyspark.sql import functions as F  # the rest is used where there is no Spark

    is_one = (F.col("_kind") == TRUNCATE) & F.col("_reason").isNull()
    return F.collect_set(F.when(is_one, F.struct("_epoch", "_lsn", "_txid", "_offset", F.unix_micros("_commit_at"))))


def of(rows: Iterable[tuple[int, int, int | None, int, int]]) -> tuple[Truncate, ...]:
    """What `found` found, one a place."""
    return merged((), (Truncate(*row) for row in rows))


def merged(known: Iterable[Truncate], more: Iterable[Truncate]) -> tuple[Truncate, ...]:
    """Both, in order, one a place: a truncate that comes again is the same one."""
    by_place: dict[tuple[int, int], Truncate] = {}
    for truncate in (*known, *more):
        first = by_place.setdefault(truncate.place, truncate)
        by_place[truncate.place] = first if first.offset <= truncate.offset else truncate
    return tuple(sorted(by_place.values(), key=lambda truncate: truncate.place))


def to_json(truncates: Iterable[Truncate]) -> str:
    """For the table's mark."""
    return json.dumps([asdict(truncate) for truncate in truncates])


def from_json(text: str | None) -> tuple[Truncate, ...]:
    """From the table's mark, where a table that was never truncated has none."""
    return tuple(Truncate(**values) for values in json.loads(text or "[]"))


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
