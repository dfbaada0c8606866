"""Bring the catalog up to the declarations: create what is missing, update what is declared differently.

The catalog stores a fingerprint of the SQL, so that a start with unchanged declarations runs four queries and writes nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lakehouse import platform_tables, tables
from lakehouse.contract import Layer, Table, is_widening
from lakehouse.errors import EbapError
from lakehouse.lake import ddl, state_views, stored_schema
from lakehouse.settings import Settings
from lakehouse.verbs import Call

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_FINGERPRINT = "ebap.catalog"


def bring_up(spark: SparkSession, settings: Settings) -> bool:
    """Update the catalog to the declarations; whether anything was changed. Raises EbapError before any write.

    A stored source table with an incompatible declaration is left unchanged: only its refine is refused (see `stored_schema`).
    """
    statements = ddl.statements(settings)
    fingerprint = hashlib.sha256("\n".join(statements).encode()).hexdigest()
    if not _missing(spark) and fingerprint == _known_fingerprint(spark):
        return False
    existing = {layer: _names(spark, layer) for layer in Layer}
    known = [table for table in ddl.stored_tables() if table.name in existing[table.layer]]
    amendments = [statement for table in known for statement in _brought_up(spark, settings, table)]
    stored = ddl.stored_statements(settings)
    for statement in stored[: len(Layer)] + amendments + stored[len(Layer) :]:
        spark.sql(statement)
    state_views.bring_up(spark, settings)
    make_views(spark)
    for table in tables.SOURCES:
        if stored_schema.judged(spark, table)[1] is None:
            stored_schema.remember(spark, table)
    # A property of the view that is created with the catalog: changing a stored table's properties conflicts with a running writer, and
    # Spark refuses to change those of a schema whose folder has a space in its path.
    spark.sql(f"ALTER TABLE {platform_tables.STATE} SET TBLPROPERTIES ('{_FINGERPRINT}' = '{fingerprint}')")
    return True


def parse(argv: list[str]) -> Call:
    """A call that registers everything in the catalog; it takes no arguments."""
    if argv:
        raise EbapError(f"publish takes no arguments, not {' '.join(argv)}")
    return bring_up


def make_views(spark: SparkSession) -> None:
    """Recreate every view with the stored types."""
    for statement in ddl.view_statements([stored_schema.effective(spark, table) for table in tables.SOURCES]):
        spark.sql(statement)


def _missing(spark: SparkSession) -> set[str]:
    declared = {table.full_name for table in ddl.stored_tables()} | set(ddl.view_names())
    return declared - {f"{layer.value}.{name}" for layer in Layer for name in _names(spark, layer)}


def _names(spark: SparkSession, layer: Layer) -> set[str]:
    if not spark.sql(f"SHOW SCHEMAS LIKE '{layer.value}'").collect():
        return set()
    # SHOW TABLES lists a session's temporary views in every schema.
    return {row["tableName"] for row in spark.sql(f"SHOW TABLES IN {layer.value}").collect() if not row["isTemporary"]}


def _known_fingerprint(spark: SparkSession) -> str | None:
    if not spark.catalog.tableExists(platform_tables.STATE):
        return None
    properties = {row["key"]: row["value"] for row in spark.sql(f"SHOW TBLPROPERTIES {platform_tables.STATE}").collect()}
    return properties.get(_FINGERPRINT)


def _brought_up(spark: SparkSession, settings: Settings, table: Table) -> list[str]:
    """Statements that update a stored table: properties that column changes require, columns, then properties that refer to columns."""
    wanted = _properties(spark, settings, table)
    last = {name: value for name, value in wanted.items() if name == ddl.STATISTICS}
    first = {name: value for name, value in wanted.items() if name not in last}
    return [*_set(table, first), *_amendments(spark, table), *_set(table, last)]


def _amendments(spark: SparkSession, table: Table) -> list[str]:
    """Statements that update a stored table's columns and comments to its declaration."""
    given = {field.name: field for field in spark.read.table(table.full_name).schema.fields}
    types = {name: stored_schema.as_declared(field.dataType.simpleString()) for name, field in given.items()}
    # Field names within a type differ in case.
    differing = [column for column in table.columns if types.get(column.name) not in (None, stored_schema.as_declared(column.type))]
    wider = [column for column in differing if is_widening(types[column.name], column.type)]
    faults = [
        f"{table.full_name}: column {column.name} is {types[column.name]}, declared {column.type}"
        for column in differing
        if column not in wider and not is_widening(column.type, types[column.name])
    ]
    if faults and table.name not in [platform_tables.stored(source).name for source in tables.SOURCES]:
        cure = "declare the stored type again, or `make wipe` and start again"
        raise EbapError(f"{'; '.join(faults)}: a stored type is not changed in place", cure)
    made = [f"COMMENT ON TABLE {table.full_name} IS {ddl.quote(ddl.comment(table))}"]
    made += [f"ALTER TABLE {table.full_name} ALTER COLUMN `{column.name}` TYPE {column.type}" for column in wider]
    for column in table.columns:
        if column.name not in given:
            made.append(f"ALTER TABLE {table.full_name} ADD COLUMN `{column.name}` {column.type} COMMENT {ddl.quote(column.doc)}")
        elif given[column.name].metadata.get("comment") != column.doc:
            made.append(f"ALTER TABLE {table.full_name} ALTER COLUMN `{column.name}` COMMENT {ddl.quote(column.doc)}")
    return made


def _properties(spark: SparkSession, settings: Settings, table: Table) -> dict[str, str]:
    """The declared properties that a stored table lacks. If they change during a batch of land, land repeats the batch."""
    given = {row["key"]: row["value"] for row in spark.sql(f"SHOW TBLPROPERTIES {table.full_name}").collect()}
    # The shape is stored after the table has been checked, not because it is declared.
    declared = {name: value for name, value in ddl.properties(settings, table).items() if name != ddl.SHAPE}
    return {name: value for name, value in declared.items() if given.get(name) != value}


def _set(table: Table, wanted: dict[str, str]) -> list[str]:
    listed = ", ".join(f"{ddl.quote(name)} = {ddl.quote(value)}" for name, value in sorted(wanted.items()))
    return [f"ALTER TABLE {table.full_name} SET TBLPROPERTIES ({listed})"] if wanted else []
