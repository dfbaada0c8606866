"""Acceptance of source changes that stopped a table: publish it again if needed, and report the remaining steps."""

from __future__ import annotations

import psycopg2

from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import catalog, mending, publishing, setup
from lakehouse.source.schema_log import READ_AGAIN, READ_WHOLE, WAITING, SchemaLog


def accept(lake: Lake, table: Table) -> list[str]:
    """Accept the table's waiting changes; return one line per accepted change and per remaining step.

    Raises EbapError if no change waits, or if the table still cannot be captured.
    """
    log = SchemaLog(lake)
    if any(change.has_missed for change in log.in_state(WAITING, table.name)):
        publish_again(lake.settings, table)
    accepted = log.accept(table)
    lines = [f"accepted: {change}" for change in accepted]
    if any(change.column and change.type_before and change.type_after for change in accepted):
        lines.append(READ_AGAIN.format(table=table.name))
    if any(change.has_missed for change in accepted):
        mending.follow(lake)
        lines.append(READ_WHOLE.format(table=table.name))
    return lines


def publish_again(settings: Settings, table: Table) -> None:
    """Publish every change of the table from now on.

    Raises EbapError if publishing it would make its updates fail or lose changes.
    """
    name = f"{settings.source_schema}.{table.name}"
    try:
        with setup.owner(settings) as cursor:
            found = catalog.read(cursor, [table], settings.source_schema)
            here = found.tables.get(table.name)
            if here is None:
                raise EbapError(f"table {name} does not exist in the source", f"create it, or remove its declaration {table.name}.py")
            faults = publishing.faults(table.name, here)
            if faults:
                raise EbapError("; ".join(f"table {name} {fault}" for fault in faults.values()))
            if not here.key:
                raise EbapError(f"table {name} has no primary key", f"add PRIMARY KEY ({', '.join(table.key)})")
            if found.published is None or found.is_for_all_tables:
                raise EbapError(f"publication {setup.PUBLICATION} is missing or FOR ALL TABLES", "run `python -m lakehouse capture apply`")
            setup.admit(cursor, table, settings.source_schema)
    except psycopg2.OperationalError as error:
        raise EbapError(f"cannot log in to the source as its owner: {' '.join(str(error).split())}") from None
