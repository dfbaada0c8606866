"""Keys on a command line: `17`, `a@b.io`, or JSON: `{"order_id": 17, "line_no": 1}`, `[17, 18]` for several."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lakehouse.contract import Table
from lakehouse.errors import EbapError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Key = tuple[str, ...]


def parse(table: Table, args: Iterable[str]) -> list[Key]:
    """The keys as texts, in the order of the table's key columns; EbapError names the first invalid one and the expected form."""
    return list(dict.fromkeys(_key(table, value) for arg in args for value in _values(arg)))


def frame(spark: SparkSession, table: Table, args: Iterable[str]) -> DataFrame:
    """The keys as rows of the key columns, in their declared types; EbapError names those that cannot be cast."""
    from pyspark.sql import functions as F

    texts = spark.createDataFrame(parse(table, args), ", ".join(f"`{name}` STRING" for name in table.key))
    fitting = {name: F.col(name).try_cast(table.column(name).type) for name in table.key}
    # Computed here: it is joined several times.
    typed = texts.select(*(value.alias(name) for name, value in fitting.items())).localCheckpoint()
    misfits = texts.where(" OR ".join(f"try_cast(`{name}` AS {table.column(name).type}) IS NULL" for name in table.key)).take(3)
    if misfits:
        shown = ", ".join(str(row.asDict()) for row in misfits)
        raise EbapError(f"not a key of {table.full_name}, which is {_form(table)}: {shown}")
    return typed


def _values(arg: str) -> Iterator[Any]:
    """The values of one argument; numbers stay texts, as written."""
    try:
        value = json.loads(arg, parse_int=str, parse_float=str, parse_constant=str)
    except ValueError:
        value = arg
    if value is None or isinstance(value, bool):
        value = arg
    yield from value if isinstance(value, list) else [value]


def _key(table: Table, value: Any) -> Key:
    by_name = value if isinstance(value, dict) else {table.key[0]: value}
    if by_name.keys() != set(table.key) or not all(isinstance(part, str) for part in by_name.values()):
        raise EbapError(f"{json.dumps(value)} is not a key of {table.full_name}", f"give {_form(table)}")
    return tuple(by_name[name] for name in table.key)


def _form(table: Table) -> str:
    parts = ", ".join(f'"{name}": <{table.column(name).type}>' for name in table.key)
    return f"a value of {table.key[0]} ({table.column(table.key[0]).type})" if len(table.key) == 1 else f"{{{parts}}}"
