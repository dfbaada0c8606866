"""Primary-key changes: a delete of the old key and an upsert of the new one, at one position, each naming the other.

The two halves travel apart and come in any order, so that the upsert's word is enough: it tells of a delete that may not have come
yet. The row keeps its life across keys: a value that the upsert left unchanged is the old key's, and a version that a key change made
names the last key under which others saw the row. Within a transaction only where a row was before and where it ends counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.transforms import ordering
from lakehouse.transforms.ordering import DELETE, UPSERT

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, WindowSpec

# A TIMESTAMP in a key keeps its microseconds.
_JSON = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}


def as_json(key: Sequence[Column]) -> Column:
    """A key as JSON in key order, by which `linked_keys` finds it again; NULL where a part of it is."""
    found = F.lit(True)
    for part in key:
        found = found & part.isNotNull()
    return F.when(found, F.to_json(F.struct(*key), _JSON))


def is_moved_in() -> Column:
    """Whether a key change brought the row."""
    return (F.col("_kind") == UPSERT) & F.col("_linked_key").isNotNull()


def linked_keys(rows: DataFrame, table: Table) -> DataFrame:
    """The rows with the key columns of `_linked_key` in the place of their own; rows without one are left out."""
    names = [name for name in rows.columns if name not in table.key]
    return rows.where("_linked_key IS NOT NULL").select(*_other_key(table), *names)


def deletes(upserts: DataFrame, table: Table) -> DataFrame:
    """The delete of the old key that each upsert of a key change tells of, in the columns of `upserts`.

    It has the identity of the real one, which replaces it: any content hash is greater than none, any offset smaller.
    """
    moved = upserts.where(is_moved_in())
    names = [name for name in upserts.columns if name not in table.column_names]
    told = {
        "_kind": F.lit(DELETE),
        "_offset": F.lit(None).cast("BIGINT"),
        "_content_hash": F.lit(""),
        "_unchanged": F.array().cast("ARRAY<STRING>"),
        "_linked_key": _own(table),
    }
    values = [F.lit(None).cast(column.type).alias(column.name) for column in table.columns if column.name not in table.key]
    return moved.select(*_other_key(table), *values, *(told.get(name, F.col(name)).alias(name) for name in names))


def given(rows: DataFrame, table: Table, ordered: WindowSpec) -> DataFrame:
    """What the upserts of key changes take over, by new key, `_epoch` and `_lsn`: `_given`, a struct of values, `_unresolved`, `_origin`.

    From rows of `with_origin`: the state of the old key just before its delete. Nothing where no earlier row of that key is known.
    """
    values = [name for name in table.column_names if name not in table.key]
    own = ordering.transaction()
    left = F.struct("_is_row", own.alias("_own"), *values, "_unresolved", "_origin")
    deleted = rows.withColumn("_left", F.lag(left).over(ordered)).where((F.col("_kind") == DELETE) & F.col("_left._is_row"))
    origin = F.when(F.coalesce(F.col("_left._own") == own, F.lit(False)), F.col("_left._origin")).otherwise(_own(table))
    taken = F.struct(*(F.col(f"_left.{name}").alias(name) for name in (*values, "_unresolved")), origin.alias("_origin"))
    return linked_keys(deleted.withColumn("_given", taken), table).select(*table.key, "_epoch", "_lsn", "_given")


def given_type(table: Table) -> str:
    """The type of `_given`."""
    values = [f"`{column.name}`: {column.type}" for column in table.columns if column.name not in table.key]
    return f"STRUCT<{', '.join([*values, '_unresolved: ARRAY<STRING>', '_origin: STRING'])}>"


def with_origin(rows: DataFrame, table: Table, ordered: WindowSpec, so_far: WindowSpec) -> DataFrame:
    """Add `_origin`, the key under which others last saw the row, and `_moved_from`, the same where it is another key than its own."""
    own = ordering.transaction()
    before = F.lag(F.struct(F.col("_is_row").alias("is_row"), own.alias("own"))).over(ordered)
    marked = rows.withColumn("_before", before)
    met_a_row = F.coalesce(F.col("_before.is_row"), F.lit(False))
    is_same = F.coalesce(F.col("_before.own") == own, F.lit(False))
    brought = F.when(F.col("_given").isNotNull(), F.col("_given._origin")).otherwise(F.col("_linked_key"))
    entered = (
        F.when(~F.col("_is_row"), _word(F.lit(None)))
        .when(is_moved_in(), _word(brought))
        .when(~met_a_row, _word(F.lit(None)))
        .when(~is_same, _word(_own(table)))
    )
    told = marked.withColumn("_entered", entered).withColumn("_origin", F.last("_entered", ignorenulls=True).over(so_far)["key"])
    is_elsewhere = F.col("_is_row") & (F.col("_origin") != _own(table))
    return told.withColumn("_moved_from", F.when(is_elsewhere, F.col("_origin"))).drop("_before", "_entered")


def _own(table: Table) -> Column:
    return as_json([F.col(name) for name in table.key])


def _other_key(table: Table) -> list[Column]:
    other = F.from_json("_linked_key", ", ".join(f"`{name}` {table.column(name).type}" for name in table.key), _JSON)
    return [other[name].alias(name) for name in table.key]


def _word(key: Column) -> Column:
    return F.struct(key.cast("STRING").alias("key"))
