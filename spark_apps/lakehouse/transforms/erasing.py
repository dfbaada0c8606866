"""What is left of a record, or of a stored row, once the person it tells of is forgotten.

A row of a table of persons goes. A row of another table stays, as nobody's: `Table.erased`, its personal columns and those that name
a person, is NULL in every change of its key, whoever the change itself names. Keys are JSON objects as Spark writes them, in the order
of the declaration; records are told by their text, because not all of them are readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.transforms.values import typed

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.contract import Column as Declared

# Stands for the hash of what was received, by which the values could be guessed. Changes of a forgotten key never contradict.
ERASED = "erased"
# A JSON string up to the quote that no odd number of backslashes precedes, or to the end of a torn text; or another plain value.
# Without a group that repeats per character: Java would need a stack frame for each.
_VALUE = r'(?:"[\s\S]*?(?<!\\)(?:\\\\)*(?:"|\z)|[^",}\]\s]+)'


def key_json(table: Table) -> Column:
    """The key of a row with declared columns."""
    return F.to_json(F.struct(*table.key))


def key_of_record(table: Table, key: str = "key", value: str = "value") -> Column:
    """The key of a record: from its key's bytes or, where they cannot be read, from the first place where its value names it."""
    parts = []
    for name in table.key:
        text = F.get_json_object(F.col(key).cast("string"), f"$.{name}")
        first = F.regexp_extract(F.col(value).cast("string"), _named(name), 1)
        parts.append(typed(F.coalesce(text, F.nullif(first, F.lit(""))), table.column(name).type).alias(name))
    return F.to_json(F.struct(*parts))


def persons_of_record(column: Declared, person: Table) -> Column:
    """Keys of all persons that a record's value names in that column: an array, with `{}` for none."""
    texts = F.regexp_extract_all(F.col("value").cast("string"), F.lit(_named(column.name)), F.lit(1))
    return F.transform(texts, lambda text: F.to_json(F.struct(typed(text, column.type).alias(person.key[0]))))


def person_of_row(column: Declared, person: Table) -> Column:
    """Key of the person that a row with declared columns names in that column."""
    return F.to_json(F.struct(F.col(column.name).alias(person.key[0])))


def blanked_value(table: Table, value: str = "value") -> Column:
    """A record's value with `null` in place of each erased column; every other byte of a readable text is as it was."""
    pattern = rf'("(?:{"|".join(table.erased)})"\s*:\s*){_VALUE}'
    return F.regexp_replace(F.col(value).cast("string"), pattern, "$1null").cast("binary")


def blanked(rows: DataFrame, table: Table, is_forgotten: Column) -> DataFrame:
    """Decoded or stored changes, those that are forgotten without their erased columns: a NULL that was received, no unknown value."""
    columns = {name: F.when(~is_forgotten, F.col(name)) for name in table.erased}
    is_left_alone = F.array_except("_unchanged", F.array(*map(F.lit, table.erased)))
    return rows.withColumns(
        {
            **columns,
            "_unchanged": F.when(is_forgotten, is_left_alone).otherwise(F.col("_unchanged")),
            "_content_hash": F.when(is_forgotten, F.lit(ERASED)).otherwise(F.col("_content_hash")),
        }
    )


def tells(decoded: DataFrame, table: Table, forgotten: DataFrame) -> DataFrame:
    """Decoded records that hold something of the forgotten keys (`key`, a JSON object each)."""
    found = _marked(decoded, table, forgotten).where("_forgotten IS NOT NULL")
    return found if table.is_of_persons else found.where(F.col("_value_bytes") != blanked_value(table, "_value_bytes"))


def kept_out(decoded: DataFrame, table: Table, forgotten: DataFrame) -> DataFrame:
    """Decoded records without what they hold of the forgotten keys; in quarantine too it would come back."""
    marked = _marked(decoded, table, forgotten)
    if table.is_of_persons:
        return marked.where("_forgotten IS NULL").drop("_forgotten")
    is_forgotten = F.col("_forgotten").isNotNull()
    value = F.when(is_forgotten, blanked_value(table, "_value_bytes")).otherwise(F.col("_value_bytes"))
    detail = F.when(~is_forgotten, F.col("_detail"))
    return blanked(marked, table, is_forgotten).withColumns({"_value_bytes": value, "_detail": detail}).drop("_forgotten")


def _marked(decoded: DataFrame, table: Table, forgotten: DataFrame) -> DataFrame:
    by_text = F.when(F.col("_reason").isNotNull(), key_of_record(table, "_key_bytes", "_value_bytes"))
    listed = F.broadcast(forgotten.select(F.col("key").alias("_forgotten")))
    return decoded.join(listed, F.coalesce(by_text, key_json(table)) == F.col("_forgotten"), how="left")


def _named(name: str) -> str:
    return rf'"{name}"\s*:\s*"?([^",}}\s]+)'


def names_in(rows: DataFrame, table: Table, of: Column, forgotten: Sequence[str]) -> DataFrame:
    """Keys, as the column `key`, of rows where `of` (a key, or an array of keys) is one of the forgotten persons."""
    listed = F.array(*map(F.lit, forgotten))
    return rows.where(F.arrays_overlap(of, listed)).select(key_json(table).alias("key"))
