"""Decoding of `bronze.changes` on the executors: `records.envelope` for DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, cast

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from lakehouse.contract import Column as Declared
from lakehouse.contract import Table
from lakehouse.transforms.heavy import workers
from lakehouse.transforms.records.changes import DELETE, READ, TRUNCATE, UPSERT
from lakehouse.transforms.records.received import BRONZE_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_CHANGES = (READ, UPSERT, DELETE, TRUNCATE)


def decode(
    bronze: DataFrame, table: Table, placeholders: Sequence[str], source_schema: str | None = None, *, with_values: bool = False
) -> DataFrame:
    """One row per record of the table's topic, in the columns of `workers.decoded_form`.

    `_reason` and `_detail` are NULL for a usable record. The value as received and the columns needed to erase it are included if
    `with_values`; the value of a faulty record always is.
    """
    work = partial(workers.decode, table=table, placeholders=tuple(placeholders), source_schema=source_schema, with_values=with_values)
    return bronze.select(*BRONZE_COLUMNS).mapInArrow(work, workers.decoded_form(table).schema_ddl())


def nothing(spark: SparkSession, table: Table) -> DataFrame:
    """An empty frame of decoded records."""
    return spark.createDataFrame([], workers.decoded_form(table).schema_ddl())


def good(decoded: DataFrame) -> DataFrame:
    """The changes: rows of `decode` without a fault, a tombstone or a message."""
    return decoded.where(F.col("_reason").isNull() & F.col("_kind").isin(*_CHANGES))


def bad(decoded: DataFrame) -> DataFrame:
    """The faulty rows of `decode` in the columns of `silver.quarantine`, without its two timestamps."""
    return decoded.where(F.col("_reason").isNotNull()).select(
        F.col("_source_table").alias("source_table"),
        F.col("_reason").alias("reason"),
        F.col("_detail").alias("detail"),
        F.col("_topic").alias("topic"),
        F.col("_partition").alias("partition"),
        F.col("_offset").alias("offset"),
        F.col("_key_bytes").alias("key"),
        F.col("_value_bytes").alias("value"),
        F.sha2(F.col("_value_bytes"), 256).alias("sha256"),
    )


def truncates() -> Column:
    """Aggregate over decoded records: the truncates, each as the fields of a `records.truncates.Truncate`."""
    is_one = (F.col("_kind") == TRUNCATE) & F.col("_reason").isNull()
    return F.collect_set(F.when(is_one, F.struct("_epoch", "_lsn", "_txid", "_offset", F.unix_micros("_commit_at"))))


def named(records: DataFrame, table: Table, column: Declared | None = None, person: Table | None = None) -> DataFrame:
    """Records as landed with `_key`, `_blanked` and, for a column that refers to persons, `_persons`: see `workers.NAMED`."""
    fields = ", ".join(f"`{more.name}` {more.type}" for more in workers.NAMED)
    schema = StructType([*records.schema.fields, *cast("StructType", StructType.fromDDL(fields)).fields])
    return records.mapInArrow(partial(workers.name_records, table=table, column=column, person=person), schema)


def blocked(decoded: DataFrame, table: Table) -> DataFrame:
    """Key columns, `_epoch`, `_lsn` and `_offset` of each faulty row whose key can be read; it blocks its key."""
    return _placed(decoded.where(F.col("_reason").isNotNull()), table)


def waiting(landed: DataFrame, table: Table, placeholders: Sequence[str], source_schema: str | None = None) -> DataFrame:
    """The same for records in quarantine, in bronze's columns, whether or not they can be decoded by now."""
    return _placed(decode(landed, table, placeholders, source_schema), table)


def _placed(rows: DataFrame, table: Table) -> DataFrame:
    has_key = [F.col(name).isNotNull() for name in table.key]
    return rows.where(reduce(Column.__and__, has_key)).select(*table.key, "_epoch", "_lsn", "_offset")
