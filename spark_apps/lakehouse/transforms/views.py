"""Select lists of silver's views, shared by the SQL views and by DataFrames of a pinned version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.contract import Table
from lakehouse.platform_tables import HISTORY_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

IS_LIVE = "_last AND _kind IN ('read', 'upsert')"
IS_VERSION = "_is_visible"
COMPUTED = {"_is_current": "_valid_to IS NULL"}


def live_columns(table: Table) -> list[str]:
    """Select list of `silver.<table>`: the table's own columns."""
    return [f"`{name}`" for name in table.column_names]


def history_columns(table: Table) -> list[str]:
    """Select list of `silver.<table>_history`: the table's own columns and the version's."""
    return live_columns(table) + [f"{COMPUTED.get(name, name)} AS {name}" for name in HISTORY_COLUMNS]


def live(changes: DataFrame, table: Table) -> DataFrame:
    """The live rows, one per key, of stored changes."""
    return changes.where(IS_LIVE).selectExpr(*live_columns(table))


def history(changes: DataFrame, table: Table) -> DataFrame:
    """Every visible version of stored changes."""
    return changes.where(IS_VERSION).selectExpr(*history_columns(table))
