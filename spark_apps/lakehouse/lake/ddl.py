"""SQL of every schema, table and view, with all comments, from the declarations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from lakehouse import platform_tables, tables
from lakehouse.contract import Column, History, Kind, Layer, Table
from lakehouse.settings import Settings
from lakehouse.transforms import views
from lakehouse.transforms.gold import sql_files
from lakehouse.transforms.records import keys

# The change feed costs nothing on tables that are only appended to or replaced by partition.
_CHANGE_FEED = {"delta.enableChangeDataFeed": "true"}
# An update marks the old row as deleted instead of rewriting its file: 10,000 changes in a million rows rewrite nothing.
_DELETION_VECTORS = {"delta.enableDeletionVectors": "true"}
# Allows a stored column to be widened in place: INT to BIGINT rewrites nothing.
_WIDENING = {"delta.enableTypeWidening": "true"}
# Property that lists the columns with minimum and maximum values in the Delta log.
STATISTICS = "delta.dataSkippingStatsColumns"
# Property with the shape of the declaration that the stored rows were written by.
SHAPE = "ebap.shape"
# Bronze gets 17,000 commits a day at the default trigger; a checkpoint every 10th would be most of the writes. Not append-only: forgotten
# persons are deleted from it, as are old days where configured.
_BRONZE = {**_CHANGE_FEED, "delta.checkpointInterval": "50", "delta.appendOnly": "false"}
# What the typed views show of a record, besides the table's columns.
_OF_RECORD = ("op", "epoch", "lsn", "txid", "commit_at", "topic", "partition", "offset", "_landed_at")
# Types with minimum and maximum values in the Delta log.
_WITH_STATISTICS = ("BIGINT", "INT", "SMALLINT", "STRING", "DOUBLE", "FLOAT", "DATE", "TIMESTAMP")


def statements(settings: Settings) -> list[str]:
    """All statements in executable order; each is safe to repeat."""
    return [*stored_statements(settings), *view_statements(tables.SOURCES)]


def stored_statements(settings: Settings) -> list[str]:
    """Statements that create the schemas, one per layer, and then the stored tables."""
    return [*_schemas(settings), *_tables(settings)]


def view_names() -> list[str]:
    """Full names of all views."""
    silver = [f"silver.{t.name}" for t in tables.SOURCES] + [f"silver.{t.name}_history" for t in _with_history()]
    own = [table.full_name for table in platform_tables.STATE_VIEWS]
    return [f"bronze.{t.name}" for t in tables.SOURCES] + silver + own + [t.full_name for t in tables.GOLD if t.is_view]


def stored_tables() -> list[Table]:
    """Every table with files: bronze, the platform's, silver's stored changes, gold."""
    return (
        [*platform_tables.STORED]
        + [platform_tables.stored(table) for table in tables.SOURCES]
        + [table for table in tables.GOLD if table.slice]
    )


def properties(settings: Settings, table: Table) -> dict[str, str]:
    """The Delta properties of a stored table."""
    kept = f"interval {table.retention_h} hours"
    # Equal intervals: a version in the log whose files are deleted cannot be read.
    own = {"delta.logRetentionDuration": kept, "delta.deletedFileRetentionDuration": kept} | _statistics(table)
    if table.full_name == platform_tables.CHANGES.full_name:
        return own | _BRONZE
    if table.changes_of:
        return own | _DELETION_VECTORS | _WIDENING | {SHAPE: shape(tables.source(table.changes_of))}
    return own | (_CHANGE_FEED | _WIDENING if table.kind is Kind.GOLD else {})


def shape(table: Table) -> str:
    """The part of a source table's declaration that its stored rows depend on, as JSON: key, history, tracked and other columns."""
    others = sorted(set(table.column_names) - set(table.tracked) - set(table.key))
    kind = table.history.value if table.history else None
    return json.dumps({"history": kind, "key": table.key, "tracked": sorted(table.tracked), "untracked": others}, sort_keys=True)


def _statistics(table: Table) -> dict[str, str]:
    """Statistics property that keeps personal values out of the Delta log, by listing only other columns.

    For bronze, which gets a commit every few seconds, only the columns by which files are skipped: positions and times.
    """
    if table.full_name == platform_tables.CHANGES.full_name:
        places = [c.name for c in table.columns if c.type in ("BIGINT", "INT", "TIMESTAMP") and c.name not in table.partitions]
        return {STATISTICS: ",".join(places)}
    if not any(column.pii and column.type != "BINARY" for column in table.columns):
        return {}
    kept = [c.name for c in table.columns if not c.pii and c.name not in table.partitions and c.type.startswith(_WITH_STATISTICS)]
    return {STATISTICS: ",".join(kept)}


def create_table(table: Table, location: str, properties: dict[str, str]) -> str:
    """CREATE TABLE IF NOT EXISTS with comments, partitions and location."""
    columns = ",\n  ".join(f"`{c.name}` {c.type} COMMENT {quote(c.doc)}" for c in table.columns)
    options = ", ".join(f"{quote(key)} = {quote(value)}" for key, value in sorted(properties.items()))
    return (
        f"CREATE TABLE IF NOT EXISTS {table.full_name} (\n  {columns}\n) USING DELTA\n"
        f"PARTITIONED BY ({', '.join(table.partitions)})\nLOCATION {quote(location)}\n"
        f"COMMENT {quote(comment(table))}" + (f"\nTBLPROPERTIES ({options})" if options else "")
    )


def create_view(name: str, columns: Iterable[Column], about: str, select: str) -> str:
    """CREATE OR REPLACE VIEW with a comment on it and on each column."""
    listed = ",\n  ".join(f"`{c.name}` COMMENT {quote(c.doc)}" for c in columns)
    return f"CREATE OR REPLACE VIEW {name} (\n  {listed}\n) COMMENT {quote(about)} AS\n{select}"


def history_view_columns(table: Table) -> list[Column]:
    """The columns of `silver.<table>_history` with their docs."""
    docs = {column.name: column for column in platform_tables.STORED_COLUMNS}
    docs["_is_current"] = Column(name="_is_current", type="BOOLEAN", doc="Whether the version is open.")
    return [*table.columns, *(docs[name] for name in platform_tables.HISTORY_COLUMNS)]


def location(settings: Settings, table: Table) -> str:
    """Location of the table's files, as a URI."""
    return f"{settings.lake_root}/{table.layer.value}/{table.name}"


def _schemas(settings: Settings) -> list[str]:
    comments = {
        Layer.BRONZE: "Changes as received, and typed views of them.",
        Layer.SILVER: "The shop's tables as they are and as they were.",
        Layer.GOLD: "Tables for reports: everything a dashboard reads.",
    }
    return [
        f"CREATE SCHEMA IF NOT EXISTS {layer.value} COMMENT {quote(text)} LOCATION {quote(f'{settings.lake_root}/{layer.value}')}"
        for layer, text in comments.items()
    ]


def _tables(settings: Settings) -> list[str]:
    return [create_table(table, location(settings, table), properties(settings, table)) for table in stored_tables()]


def view_statements(sources: Iterable[Table]) -> list[str]:
    """Statements that create the views of all layers; `sources` are the source tables with their stored column types.

    A view keeps the types of its creation, so it is recreated after a stored column was widened.
    """
    sources = tuple(sources)
    made = [create_view(f"bronze.{t.name}", bronze_view_columns(t), f"Typed changes of {t.name}.", bronze_select(t)) for t in sources]
    for table in sources:
        select = f"SELECT {', '.join(views.live_columns(table))}\nFROM silver.{table.name}_changes WHERE {views.IS_LIVE}"
        made.append(create_view(table.full_name, table.columns, comment(table), select))
    for table in (table for table in sources if table.history is History.FULL):
        select = f"SELECT {', '.join(views.history_columns(table))}\nFROM silver.{table.name}_changes WHERE {views.IS_VERSION}"
        about = f"Every version of {table.name}: {comment(table)}"
        made.append(create_view(f"{table.full_name}_history", history_view_columns(table), about, select))
    made += [create_view(table.full_name, table.columns, comment(table), select) for table, select in platform_tables.STATE_VIEWS.items()]
    gold = [table for table in tables.GOLD if table.is_view]
    return made + [create_view(table.full_name, table.columns, comment(table), sql_files.select(table)) for table in gold]


def bronze_view_columns(table: Table) -> list[Column]:
    """The columns of the typed view `bronze.<table>`: a column of the record is prefixed with `_` where the table has one of its name."""
    raw = [platform_tables.CHANGES.column(name) for name in _OF_RECORD]
    return [*(replace(c, name=f"_{c.name}") if c.name in table.column_names else c for c in raw), *table.columns]


def bronze_select(table: Table) -> str:
    """SELECT of `bronze.<table>`: one row per readable change, repeats removed, values cast or NULL where they do not fit."""
    shown = zip(_OF_RECORD, bronze_view_columns(table), strict=False)
    raw = ", ".join(name if name == column.name else f"{name} AS {column.name}" for name, column in shown)
    fields = ", ".join(f"`{c.name}`: {'ARRAY<STRING>' if c.type == 'ARRAY<STRING>' else 'STRING'}" for c in table.columns)
    typed = ", ".join(f"{_cast(column)} AS `{column.name}`" for column in table.columns)
    return _without_forgotten(
        table,
        f"SELECT {raw}, {typed} FROM (\n"
        f"  SELECT *, coalesce(image.after, image.before) AS row FROM (\n"
        f"    SELECT *, from_json(CAST(value AS STRING), 'after STRUCT<{fields}>, before STRUCT<{fields}>') AS image,\n"
        f"      row_number() OVER (PARTITION BY key, epoch, lsn, op ORDER BY offset) AS repeat\n"
        f"    FROM bronze.changes WHERE source_table = {quote(table.name)} AND op IS NOT NULL AND lsn IS NOT NULL\n"
        f"  ) WHERE repeat = 1)",
    )


def _without_forgotten(table: Table, select: str) -> str:
    """Exclude forgotten persons from a typed view: records that land late are hidden until refine deletes them."""
    if not table.erased and not table.is_of_persons:
        return select
    listed = {"_own": (table.name, keys.as_json_sql(table, [f"r.`{name}`" for name in table.key]))}
    for column in table.person_columns:
        person = tables.source(column.person or "")
        listed[column.name] = (person.name, keys.as_json_sql(person, [f"r.`{column.name}`"]))
    joins = "".join(
        f"\nLEFT JOIN {platform_tables.ERASURES.full_name} AS of_{name} ON of_{name}.source_table = {quote(source)} "
        f"AND of_{name}.key = {key}"
        for name, (source, key) in listed.items()
    )
    if table.is_of_persons:
        return f"SELECT r.* FROM (\n{select}\n) AS r{joins}\nWHERE of__own.key IS NULL"
    is_known = " AND ".join(f"of_{name}.key IS NULL" for name in listed)
    shown = [
        f"CASE WHEN {is_known} THEN r.`{column.name}` END AS `{column.name}`" if column.name in table.erased else f"r.`{column.name}`"
        for column in bronze_view_columns(table)
    ]
    return f"SELECT {', '.join(shown)} FROM (\n{select}\n) AS r{joins}"


def _cast(column: Column) -> str:
    field = f"row.`{column.name}`"
    if column.type in ("STRING", "ARRAY<STRING>"):
        return field
    if column.type == "BINARY":
        return f"try_to_binary({field}, 'base64')"
    if column.type == "DATE":
        return f"try_cast(rtrim('Z', {field}) AS DATE)"
    return f"try_cast({field} AS {column.type})"


def _with_history() -> list[Table]:
    return [table for table in tables.SOURCES if table.history is History.FULL]


def comment(table: Table) -> str:
    """The table's comment in the catalog: what it is, its grain, its rules."""
    return " ".join([table.doc, f"Grain: {table.grain}.", *table.rules])


def quote(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
