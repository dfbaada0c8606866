"""Keys of rows as JSON in Spark, in the format of `records.keys`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.transforms.records.keys import SPARK_JSON

if TYPE_CHECKING:
    from pyspark.sql import Column

    from lakehouse.contract import Column as Declared


def key_json(table: Table) -> Column:
    """The key of a row with declared columns, in the format of `_linked_key` and of the list of forgotten keys."""
    return F.to_json(F.struct(*table.key), SPARK_JSON)


def person_json(column: Declared, person: Table) -> Column:
    """Key of the person in that column of a row with declared columns."""
    return F.to_json(F.struct(F.col(column.name).alias(person.key[0])), SPARK_JSON)


def other_key(table: Table) -> list[Column]:
    """The key columns of `_linked_key`."""
    other = F.from_json("_linked_key", ", ".join(f"`{name}` {table.column(name).type}" for name in table.key), SPARK_JSON)
    return [other[name].alias(name) for name in table.key]
