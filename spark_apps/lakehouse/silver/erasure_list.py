"""The list of forgotten keys, and removal of their data from stored tables, in one commit each.

SQL and DataFrames only, as in `storage`. Rows to remove are computed before the write, so that they are read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import platform_tables, tables
from lakehouse.contract import Table
from lakehouse.lake import commits, ddl, storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Forgotten keys by source table, each a JSON object.
Forgotten = Mapping[str, frozenset[str]]

LIST = platform_tables.ERASURES.full_name
# Identifies a row of bronze: a record that lands again has the same place in Kafka and another time.
_PLACE = ("topic", "partition", "offset", "_landed_on", "_landed_at")


def forgotten(spark: SparkSession, table: Table) -> Forgotten:
    """The forgotten keys of a source table and of the tables of persons it refers to; empty if there are none."""
    names = {table.name, *(column.person for column in table.person_columns if column.person)}
    listed = ", ".join(map(ddl.quote, sorted(names)))
    found: dict[str, set[str]] = {}
    for row in spark.read.table(LIST).where(f"source_table IN ({listed})").select("source_table", "key").collect():
        found.setdefault(row["source_table"], set()).add(row["key"])
    return {name: frozenset(keys) for name, keys in found.items()}


def enter(spark: SparkSession, keys: Forgotten) -> None:
    """Add the keys that the list does not hold yet; no commit if it holds all of them."""
    wanted = [(name, key) for name, each in sorted(keys.items()) for key in sorted(each)]
    rows = spark.createDataFrame(wanted, "source_table STRING, key STRING")
    new = rows.join(spark.read.table(LIST), on=["source_table", "key"], how="left_anti").localCheckpoint()
    if new.isEmpty():
        return
    now = F.current_timestamp()
    new.select("source_table", "key", now.alias("forgotten_at"), now.alias("erased_at")).createOrReplaceTempView("ebap_entered")
    merge = (
        f"MERGE INTO {LIST} t USING ebap_entered s ON t.source_table = s.source_table AND t.key = s.key "
        f"AND t.source_table IN ({', '.join(map(ddl.quote, sorted(keys)))}) WHEN NOT MATCHED THEN INSERT *"
    )
    with commits.commit(spark, LIST):
        spark.sql(merge)


def note_erased(spark: SparkSession, table: Table, keys: Sequence[str]) -> None:
    """Record now as the time at which data of these keys was last removed."""
    listed = ", ".join(map(ddl.quote, keys))
    with commits.commit(spark, LIST):
        spark.sql(f"UPDATE {LIST} SET erased_at = current_timestamp() WHERE source_table = {ddl.quote(table.name)} AND key IN ({listed})")


def as_frame(spark: SparkSession, keys: Sequence[str]) -> DataFrame:
    """The keys as a DataFrame with the column `key`."""
    return spark.createDataFrame([(key,) for key in keys], "key STRING")


def read_records(spark: SparkSession, table: Table, from_offset: int = 0) -> DataFrame:
    """Rows of bronze of a source table, from an offset on."""
    return spark.read.table(storage.BRONZE).where(f"source_table = {ddl.quote(table.name)} AND offset >= {from_offset}")


def change_bronze(spark: SparkSession, table: Table, found: DataFrame) -> None:
    """Remove the found records (their place, `_blanked`), or replace their value with the blanked one if the table is not of persons."""
    days = sorted(str(row["_landed_on"]) for row in found.select("_landed_on").distinct().collect())
    within = f"t._landed_on IN ({', '.join(f'DATE{ddl.quote(day)}' for day in days)})"
    _change(spark, table, storage.BRONZE, found.select(*_PLACE, "_blanked"), [*_PLACE], within, "value = s._blanked")


def change_quarantine(spark: SparkSession, table: Table, found: DataFrame) -> None:
    """The same for records in quarantine; also clears the detail, which quotes the value."""
    key = (*platform_tables.QUARANTINE.key, "sha256")
    sets = "value = s._blanked, sha256 = sha2(s._blanked, 256), detail = NULL"
    _change(spark, table, platform_tables.QUARANTINE.full_name, found.select(*key, "_blanked"), [*key], "true", sets)


def remove_from_silver(spark: SparkSession, table: Table, keys: DataFrame) -> None:
    """Remove all stored changes of these keys of a table of persons (its key column, the values distinct)."""
    keys.createOrReplaceTempView("ebap_forgotten")
    (name,) = table.key
    full_name = platform_tables.stored(table).full_name
    with commits.commit(spark, full_name):
        spark.sql(f"MERGE INTO {full_name} t USING ebap_forgotten s ON t.`{name}` = s.`{name}` WHEN MATCHED THEN DELETE")


def purge(spark: SparkSession, table: Table) -> None:
    """Rewrite files that hold rows marked as deleted, so that no current file contains them."""
    full_name = platform_tables.stored(table).full_name
    with commits.commit(spark, full_name):
        spark.sql(f"REORG TABLE {full_name} APPLY (PURGE)")


def _change(spark: SparkSession, table: Table, full_name: str, found: DataFrame, same: list[str], within: str, sets: str) -> None:
    found.createOrReplaceTempView("ebap_forgotten")
    matched = "DELETE" if table.is_of_persons else f"UPDATE SET {sets}"
    conditions = [f"t.source_table = {ddl.quote(table.name)}", within, *(f"t.`{name}` <=> s.`{name}`" for name in same)]
    with commits.commit(spark, full_name):
        spark.sql(f"MERGE INTO {full_name} t USING ebap_forgotten s ON {' AND '.join(conditions)} WHEN MATCHED THEN {matched}")


def personal_sources() -> tuple[Table, ...]:
    """Source tables that hold personal data, tables of persons first."""
    found = [table for table in tables.SOURCES if table.is_of_persons or table.erased]
    return tuple(sorted(found, key=lambda table: not table.is_of_persons))
