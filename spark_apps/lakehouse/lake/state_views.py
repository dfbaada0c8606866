"""State of the tables for Spark and Thrift: views such as `silver.progress` over the rows in the platform's Postgres."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lakehouse import platform_tables, tables
from lakehouse.errors import ConflictError
from lakehouse.lake import ddl, state
from lakehouse.lake.state import TableState
from lakehouse.settings import Settings
from lakehouse.transforms.records.truncates import from_json

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def bring_up(spark: SparkSession, settings: Settings) -> None:
    """Create the state table and its views; the state that an older lake keeps in its own tables is migrated once."""
    state.store(settings).create()
    for table in platform_tables.STATE_VIEWS:
        if _is_stored(spark, table.full_name):
            _take_over(spark, settings, table.full_name)
            spark.sql(f"DROP TABLE {table.full_name}")
    # Recreated at each start with the current address and password.
    spark.sql(f"DROP TABLE IF EXISTS {platform_tables.STATE}")
    options = {
        "url": f"jdbc:postgresql://{settings.postgres_host}:{settings.postgres_port}/metastore",
        "driver": "org.postgresql.Driver",
        "dbtable": "ebap.table_state",
        "user": state.READER,
        "password": settings.secret(state.READER),
    }
    listed = ", ".join(f"{name} {ddl.quote(value)}" for name, value in options.items())
    spark.sql(f"CREATE TABLE {platform_tables.STATE} USING jdbc OPTIONS ({listed})")


def _is_stored(spark: SparkSession, full_name: str) -> bool:
    schema, name = full_name.split(".")
    if not spark.sql(f"SHOW TABLES IN {schema} LIKE '{name}'").collect():
        return False
    return not spark.sql(f"SHOW VIEWS IN {schema} LIKE '{name}'").collect()


def _take_over(spark: SparkSession, settings: Settings, full_name: str) -> None:
    """Write each row as the state of its table, unless the table has one."""
    store = state.store(settings)
    for row in spark.read.table(full_name).collect():
        values = row.asDict()
        if full_name == platform_tables.CONTROLS.full_name:
            source = tables.source(values["source_table"])
            if values["paused_at"] and not store.read(source).paused_at:
                store.pause(source, values["paused_by"], values["reason"])
            continue
        made = _gold(values) if full_name == platform_tables.GOLD_PROGRESS.full_name else _silver(values)
        table = next((t for t in (*tables.SOURCES, *tables.GOLD) if t.full_name == made.table_name), None)
        known = store.read(table) if table else None
        if known and not known.has_run:
            try:
                store.advance(known, made)
            except ConflictError:
                continue  # it has run concurrently


def _silver(row: dict[str, Any]) -> TableState:
    own = {name: row[name] for name in ("bronze_version", "records", "quarantined", "error")}
    return TableState(
        table_name=f"silver.{row['source_table']}",
        complete_to=state.in_utc(row["complete_to"]),
        updated_at=state.in_utc(row["refined_at"]),
        truncates=from_json(row["truncates"]),
        **own,
    )


def _gold(row: dict[str, Any]) -> TableState:
    return TableState(
        table_name=f"gold.{row['table_name']}",
        inputs=json.loads(row["marks"]),
        complete_to=state.in_utc(row["complete_to"]),
        updated_at=state.in_utc(row["aggregated_at"]),
    )
