"""Erasure of forgotten people from the Iceberg tables: from what is stored, and from what comes later.

The final lane alone does both: a row that it appends with an older list of people is erased by its next round. Events keep their place in
the counts without the columns of `Table.erased`; a dead letter that names a forgotten person in readable text loses its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from lakehouse import tables
from lakehouse.errors import EbapError
from lakehouse.lake.forgotten import forgotten
from lakehouse.live import iceberg
from lakehouse.wait import until

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.contract import Column, Table
    from lakehouse.lake.lake import Lake

EVENTS, DEAD = tables.live("events"), tables.live("dead_letters")
PERSONAL = (EVENTS, DEAD)
(USER,) = EVENTS.person_columns
# The key in the state of the events: how many of the forgotten people are erased.
DONE = "forgotten"
# A round a minute, and one that is under way.
_LIMIT_S = 180


def people(lake: Lake) -> frozenset[int]:
    """The forgotten people, by the number that events have of them."""
    return _numbers(forgotten(lake, EVENTS).get(str(USER.person), ()))


def holds(table: Table, users: Collection[int]) -> str:
    """SQL: a row of `events` or `dead_letters` names one of these users, of whom there is one at least."""
    listed = sorted(users)
    if table is EVENTS:
        return f"{USER.name} IN ({', '.join(map(str, listed))})"
    return f"CAST(value AS STRING) RLIKE '{pattern(USER, listed)}'"


def pattern(column: Column, users: Iterable[int]) -> str:
    """A regular expression (of Java and Python) for the field with one of these numbers, in a text that need not be JSON."""
    return f"(?:^|[^0-9a-zA-Z_]){column.name}[^0-9a-zA-Z]{{1,8}}({'|'.join(map(str, users))})(?:[^0-9]|$)"


def blanked(frame: DataFrame, table: Table, users: Collection[int]) -> DataFrame:
    """The rows without the personal columns where they name one of these users."""
    if not users:
        return frame
    named = holds(table, users)
    return frame.selectExpr(*(f"CASE WHEN {named} THEN NULL ELSE {c} END AS {c}" if c in table.erased else c for c in frame.columns))


def erase(spark: SparkSession, table: Table, users: Collection[int], position: dict[str, Any]) -> bool:
    """Erase these users from the stored rows, in one commit with the table's position; whether there were any."""
    named = holds(table, users)
    if not users or spark.table(table.full_name).where(named).isEmpty():
        return False
    iceberg.update(spark, table, dict.fromkeys(table.erased, "NULL"), named, position)
    return True


def wait(lake: Lake) -> None:
    """Return once the final lane has erased everyone who is forgotten now; EbapError if that takes longer than it should."""
    wanted = len(people(lake))
    try:
        until(lambda: lake.states.read(EVENTS).inputs.get(DONE, 0) >= wanted, _LIMIT_S, "the final lane to erase forgotten people")
    except TimeoutError:
        raise EbapError(
            f"{EVENTS.full_name} may still name forgotten people: the service activity has not erased them within {_LIMIT_S} s",
            "start it; it erases them in its next round",
        ) from None


def _numbers(keys: Iterable[str]) -> frozenset[int]:
    return frozenset(int(value) for key in keys for value in json.loads(key).values())
