"""SQL of `gold.orders_live`: the newest change of each order of the last hour, read from bronze.

Generated from the declarations, without Spark.
"""

from __future__ import annotations

from lakehouse import platform_tables, tables
from lakehouse.contract import Column, Table
from lakehouse.transforms.records import keys

WINDOW_MINUTES = 60

# At one position a delete precedes an upsert, and a read precedes both.
_KIND_RANK = "CASE op WHEN 'r' THEN 0 WHEN 'd' THEN 1 ELSE 2 END"
IS_CHANGE = "key IS NOT NULL AND epoch IS NOT NULL AND lsn IS NOT NULL AND op IN ('c', 'u', 'r', 'd')"
# Numbers the changes of each key from the newest.
NEWEST = f"row_number() OVER (\n      PARTITION BY key ORDER BY epoch DESC, lsn DESC, {_KIND_RANK} DESC, `offset`) AS newest"
IS_RECENT = f"_landed_at >= current_timestamp() - INTERVAL {WINDOW_MINUTES} MINUTES"


def orders_live_sql() -> str:
    """SELECT of the view, with the declared columns in order.

    The newest change is selected on the raw record and then parsed: one parse per order instead of one per change. Unreadable records are
    skipped; an order whose newest change has an unreadable row is left out until its next change.
    """
    fields = ", ".join(f"`{name}`: STRING" for name in source_columns())
    typed = ",\n  ".join(typed_columns())
    return shown_sql(
        f"(\nSELECT {typed}\nFROM (\n"
        f"  SELECT from_json(CAST(value AS STRING), 'after STRUCT<{fields}>').after AS row, commit_at\n"
        f"  FROM (\n{_newest(tables.source('orders'))}\n  ) WHERE newest = 1 AND op <> 'd'\n))"
    )


def source_columns() -> list[str]:
    """The view's columns that are in an order's record."""
    view, source = tables.gold("orders_live"), tables.source("orders")
    return [name for name in view.column_names if name in source.column_names]


def typed_columns() -> list[str]:
    """Select list of the view's columns over `row`, a struct of the record's texts, and the columns of the change."""
    source = tables.source("orders")
    return [_expression(column, source) for column in tables.gold("orders_live").columns]


def shown_sql(rows: str) -> str:
    """SELECT of the view over typed newest changes: without unreadable rows, and with the columns of forgotten persons as NULL."""
    view, source = tables.gold("orders_live"), tables.source("orders")
    key = " AND ".join(f"`{name}` IS NOT NULL" for name in view.key)
    forgotten = [column for column in source.person_columns if column.name in view.column_names]
    shown = ", ".join(_unless_forgotten(column, forgotten) for column in view.columns)
    return f"SELECT {shown} FROM {rows}{''.join(map(_join_forgotten, forgotten))}\nWHERE {key}"


def _unless_forgotten(column: Column, forgotten: list[Column]) -> str:
    is_person = column.name in [person.name for person in forgotten]
    return f"CASE WHEN of_{column.name}.key IS NULL THEN `{column.name}` END AS `{column.name}`" if is_person else f"`{column.name}`"


def _join_forgotten(column: Column) -> str:
    """Join that finds whether the person in `column` is forgotten, for records that land after the erasure."""
    person = tables.source(column.person or "")
    named = keys.as_json_sql(person, [f"`{column.name}`"])
    alias = f"of_{column.name}"
    return (
        f"\nLEFT JOIN {platform_tables.ERASURES.full_name} AS {alias} ON {alias}.source_table = '{person.name}' AND {alias}.key = {named}"
    )


def _newest(source: Table) -> str:
    """Changes of the last hour, numbered per key from the newest; Delta skips files by the literal bounds."""
    return (
        f"    SELECT value, op, commit_at, {NEWEST}\n"
        f"    FROM {platform_tables.CHANGES.full_name}\n"
        f"    WHERE source_table = '{source.name}' AND _landed_on >= current_date() - 1\n"
        f"      AND {IS_RECENT}\n"
        f"      AND {IS_CHANGE}"
    )


def _expression(column: Column, source: Table) -> str:
    if column.name not in source.column_names:
        return f"`{column.name}`"
    field = f"row.`{column.name}`"
    if column.type == "STRING":
        return f"{field} AS `{column.name}`"
    cast = f"try_cast({field} AS {column.type})"
    if column.type == "TIMESTAMP":
        # Postgres has years that no BI driver supports: such a value is NULL, and the order is kept.
        cast = f"CASE WHEN year({cast}) BETWEEN 1 AND 9999 THEN {cast} END"
    return f"{cast} AS `{column.name}`"
