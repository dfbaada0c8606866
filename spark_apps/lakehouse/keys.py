"""Keys as a person types them: `17`, `a@b.io`, or JSON: `{"order_id": 17, "line_no": 1}`, `[17, 18]` for several."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lakehouse.contract import Table
from lakehouse.errors import EbapError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Key = tuple[str, ...]


def parse(table: Table, words: Iterable[str]) -> list[Key]:
    """The keys as texts, in the order of the table's key columns; EbapError names the first that is none, and the form it must have."""
    return list(dict.fromkeys(_key(table, value) for word in words for value in _values(word)))


def frame(spark: SparkSession, table: Table, words: Iterable[str]) -> DataFrame:
    """The keys as rows of the key columns, in their declared types; EbapError names those that do not fit."""
    from pyspark.sql import functions as F

    texts = spark.createDataFrame(parse(table, words), ", ".join(f"`{name}` STRING" for name in table.key))
    fitting = {name: F.col(name).try_cast(table.column(name).type) for name in table.key}
    # Worked out here: it is compared with several times.
    typed = texts.select(*(value.alias(name) for name, value in fitting.items())).localCheckpoint()
    misfits = texts.where(" OR ".join(f"try_cast(`{name}` AS {table.column(name).type}) IS NULL" for name in table.key)).take(3)
    if misfits:
        shown = ", ".join(str(row.asDict()) for row in misfits)
        raise EbapError(f"no key of {table.full_name}, which is {_form(table)}: {shown}")
    return typed


def _values(word: str) -> Iterator[Any]:
    """What a word holds; numbers stay as they are written."""
    try:
        value = json.loads(word, parse_int=str, parse_float=str, parse_constant=str)
    except ValueError:
        value = word
    if value is None or isinstance(value, bool):
        value = word
    yield from value if isinstance(value, list) else [value]


def _key(table: Table, value: Any) -> Key:
    by_name = value if isinstance(value, dict) else {table.key[0]: value}
    if by_name.keys() != set(table.key) or not all(isinstance(part, str) for part in by_name.values()):
        raise EbapError(f"{json.dumps(value)} is no key of {table.full_name}", f"give {_form(table)}")
    return tuple(by_name[name] for name in table.key)


def _form(table: Table) -> str:
    parts = ", ".join(f'"{name}": <{table.column(name).type}>' for name in table.key)
    return f"a value of {table.key[0]} ({table.column(table.key[0]).type})" if len(table.key) == 1 else f"{{{parts}}}"
