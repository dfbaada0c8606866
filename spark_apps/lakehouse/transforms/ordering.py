"""Which change comes first: identity, order and lateness of the changes of one key.

A log position alone does not order them. A snapshot read takes no row lock: a transaction that was open while the snapshot was
taken commits later with a lower lsn, and must stand after the read. `source.sequence[0]`, kept as `_last_commit_lsn`, tells where it
is at or beyond the read's lsn; where it is lower or NULL, the smaller Kafka offset came first (key and read share a partition).
A timestamp never orders anything: all rows of a transaction share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

READ, UPSERT, DELETE, TRUNCATE = "read", "upsert", "delete", "truncate"

# What sorts the changes of a key among themselves, reads apart from the others.
BY_LSN = ("_epoch", "_is_change", "_lsn", "_rank")
# What sorts all of them; `in_order` adds `_after_reads`.
ORDER = ("_epoch", "_after_reads", "_is_change", "_lsn", "_rank")

# What tells of a key's newest stored change whether another is later.
_KNOWN = ("_epoch", "_lsn", "_kind", "_txid", "_offset", "_commit_at", "_content_hash")


def last_commit(sequence: Column) -> Column:
    """The last commit before a record, from Debezium's `source.sequence`; NULL where it tells none."""
    return F.when(sequence.startswith('["'), F.split_part(sequence, F.lit('"'), F.lit(2)).try_cast("BIGINT"))


def position(op: Column, lsn: Column, sequence: Column) -> Column:
    """Where a record stands in the source's log. A read of an incremental snapshot has no lsn: it stands behind the last commit sent."""
    return F.coalesce(lsn, F.when(op == "r", last_commit(sequence)))


def is_row() -> Column:
    """Whether the change leaves a row: a read or an upsert."""
    return F.col("_kind").isin(READ, UPSERT)


def rank(kind: Column) -> Column:
    """Order of kinds at one lsn: truncate, delete, upsert; so a delete and an upsert of a key at one lsn leave the row."""
    return F.when(kind == TRUNCATE, 0).when(kind == DELETE, 1).otherwise(2)


def placed(rows: DataFrame) -> DataFrame:
    """Add `_is_row` and the parts of the order that a change has by itself."""
    return rows.withColumns({"_is_row": is_row(), "_rank": rank(F.col("_kind")), "_is_change": (F.col("_kind") != READ).cast("int")})


def transaction() -> Column:
    """What names the change's transaction; NULL for reads, which belong to none."""
    return F.when((F.col("_kind") != READ) & F.col("_txid").isNotNull(), F.struct("_epoch", "_txid"))


def one_per_identity(rows: DataFrame, key: Sequence[str]) -> DataFrame:
    """One row per (key, epoch, lsn, kind): the greatest content hash, with the smallest offset and time that came with it.

    Which record came first makes no difference, so that any order of delivery ends the same. `_old`, what is stored under the
    identity, is kept whichever wins. Added are `_is_late`, a change of the key cannot be placed by the key's newest stored change, and
    `_is_contested`, another record of the identity had other content. A row that `_is_placed` was
    judged by an earlier run: it is never late.
    """
    best = (F.desc("_content_hash"), F.desc("_is_state"), F.asc_nulls_last("_commit_at"), F.asc("_offset"))
    identity = Window.partitionBy(*key, *BY_LSN, "_kind").orderBy(*best)
    # The same sort for all of them, so that it is made once.
    of_identity = identity.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    of_key = Window.partitionBy(*key).orderBy(*BY_LSN, "_kind", *best).rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    told = F.when(F.col("_content_hash") != "", F.col("_content_hash"))  # what a key change tells of its delete has none
    placed = rows.select(
        "*",
        F.row_number().over(identity).alias("_place"),
        F.min("_offset").over(of_identity).alias("_first_offset"),
        F.first("_old", ignorenulls=True).over(of_identity).alias("_stored"),
        (F.min(told).over(of_identity) != F.max(told).over(of_identity)).alias("_is_contested"),
        F.first(F.when(F.col("_is_state"), F.struct(*_KNOWN)), ignorenulls=True).over(of_key).alias("_known"),
    )
    is_new = ~F.col("_is_state") & ~F.col("_is_placed")
    # A key change is told by two keys: what it moves can only be found in the whole of both.
    is_late = is_new & (F.col("_linked_key").isNotNull() | (F.col("_known").isNotNull() & _needs_whole_key(F.col("_known"))))
    judged = placed.withColumn("_is_late", F.coalesce(F.bool_or(is_late).over(of_key), F.lit(False))).drop("_known")
    return judged.where("_place = 1").withColumns({"_offset": F.col("_first_offset"), "_old": F.col("_stored")})


def in_order(rows: DataFrame, key: Sequence[str]) -> DataFrame:
    """Add `_after_reads`, by which, with the rest of ORDER, a key's changes are totally ordered.

    It is a read's own number among the reads of its key and epoch, and for any other change the number of the last read it
    stands after. Locks keep changes among themselves in order of lsn, so that number never falls along them.
    """
    by_lsn = Window.partitionBy(*key, "_epoch").orderBy(*BY_LSN[1:])
    whole = by_lsn.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    is_read = F.col("_kind") == READ
    reads = F.collect_list(F.when(is_read, F.struct("_lsn", "_offset"))).over(whole)
    marked = rows.withColumn("_reads", F.sort_array(reads))
    after = F.array_max(F.transform("_reads", lambda read, number: F.when(_stands_after(read), number + 1).otherwise(0)))
    numbered = marked.withColumn(
        "_own_number",
        F.when(is_read, F.array_position("_reads", F.struct("_lsn", "_offset")).cast("int")).otherwise(F.coalesce(after, F.lit(0))),
    )
    so_far = by_lsn.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    rising = F.max(F.when(~is_read, F.col("_own_number"))).over(so_far)
    return numbered.withColumn("_after_reads", F.when(is_read, F.col("_own_number")).otherwise(rising)).drop("_reads", "_own_number")


def _needs_whole_key(stored: Column) -> Column:
    """Whether a change can only be placed with all that is stored of its key; `stored` is that key's newest stored change, a struct.

    False where the change is later than that one and of another transaction: then the newest change is state enough. A repeat
    of the newest change itself, which brings nothing new, is no reason either.
    """
    return ~_repeats(stored) & ~(_is_later(stored) & _is_of_another_transaction(stored))


def _stands_after(read: Column) -> Column:
    by_commit = F.coalesce(F.col("_last_commit_lsn") >= read["_lsn"], F.lit(False))
    by_offset = F.col("_offset") > read["_offset"]
    # TRUNCATE locks readers out, so its lsn alone places it.
    return F.when(F.col("_kind") == TRUNCATE, F.col("_lsn") > read["_lsn"]).otherwise(by_commit | by_offset)


def _is_later(stored: Column) -> Column:
    later_lsn = F.struct(F.col("_lsn"), F.col("_rank")) > F.struct(stored["_lsn"], rank(stored["_kind"]))
    # A repeat carries a larger offset than the first delivery, which only the whole key knows: offsets decide nothing here.
    after_read = F.coalesce(F.col("_last_commit_lsn") >= stored["_lsn"], F.lit(False))
    by_read = F.when(F.col("_kind") == TRUNCATE, later_lsn).otherwise(after_read)
    same_epoch = F.when(F.col("_kind") == READ, F.lit(False)).when(stored["_kind"] == READ, by_read).otherwise(later_lsn)
    return F.when(F.col("_epoch") == stored["_epoch"], same_epoch).otherwise(F.col("_epoch") > stored["_epoch"])


def _is_of_another_transaction(stored: Column) -> Column:
    same = (F.col("_epoch") == stored["_epoch"]) & (F.col("_txid") == stored["_txid"])
    return ~F.coalesce(same, F.lit(False))


def _repeats(stored: Column) -> Column:
    place = [F.col(name) == stored[name] for name in ("_epoch", "_lsn", "_kind")]
    brings_nothing = [F.col("_content_hash") == stored["_content_hash"], F.col("_offset") >= stored["_offset"]]
    checks = [*place, *brings_nothing, F.col("_commit_at") >= stored["_commit_at"]]
    repeats = F.lit(True)
    for check in checks:
        repeats = repeats & F.coalesce(check, F.lit(False))
    return repeats
