"""Steps of the capture commands: prepare the source, run the preflight, configure the connector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.lake import epochs
from lakehouse.lake.epochs import Source
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import broker, catalog, connect, connection, connector, gate, mending, preflight, setup, topics
from lakehouse.source.schema_log import SchemaLog

RUNNING_LIMIT_S = 120
# Each attempt excludes one more column or table that makes the connector fail.
_MENDS = 10


def apply(lake: Lake) -> None:
    """Prepare the source, run the preflight, configure the connector and wait until it runs; safe to repeat.

    The source is prepared only if every table can be published. Raises EbapError if the preflight fails (the connector is then
    unchanged) or if the connector does not run.
    """
    settings, known = lake.settings, epochs.of_lake(lake)
    if known and connection.source_identity(settings)[0] == known.identity:
        # For changes made while capture was down: the gate stops one table, the preflight would refuse all.
        gate.record(lake)
    altered, captured = SchemaLog(lake).altered_columns(), fit(SchemaLog(lake))
    prepare(settings, altered, captured)
    identity = check(settings, known.identity if known else None, altered, captured)
    # Stored before the first record arrives, so that the placeholder of every record is known.
    known = known or epochs.remember_source(lake, identity)
    gate.record(lake)
    run(lake, known)


def fit(log: SchemaLog) -> list[Table]:
    """The declared tables except those that the schema gate stopped as unfit, so that they do not block the others."""
    unfit = log.unfit()
    return [table for table in tables.SOURCES if table.name not in unfit]


def prepare(settings: Settings, altered: preflight.Altered, captured: Sequence[Table]) -> None:
    """Create or correct the source objects that capture needs; does nothing if a table cannot be published."""
    with setup.owner(settings) as cursor:
        found = catalog.read(cursor, captured, settings.source_schema)
        if not preflight.table_faults(captured, settings.source_schema, found, altered):
            setup.prepare(cursor, captured, settings.source_schema)


def run(lake: Lake, known: Source) -> None:
    """Configure the connector for the known source and wait until it runs; exclude columns or tables that make it fail.

    Raises WorkerError if it does not run.
    """
    settings = lake.settings
    for left in reversed(range(_MENDS)):
        scope = mending.scope(SchemaLog(lake))
        connect.put(settings, rendered(settings, known.epoch, known.placeholders[-1], scope))
        try:
            connect.wait_running(settings, RUNNING_LIMIT_S)
            return
        except connect.WorkerError:
            new = gate.mend(lake) if left else []
            if not new:
                raise
            print("\n".join(f"new: {change}" for change in new))


def check(
    settings: Settings,
    known_identity: str | None,
    altered: preflight.Altered,
    captured: Sequence[Table],
    begins_anew: bool = False,
) -> str:
    """Run the preflight for these tables and return the source's identity; raises EbapError with every fault.

    `begins_anew` ignores the existing slot and offset, which the caller will delete.
    """
    identity, login_fault = connection.source_identity(settings)
    admin = broker.admin(settings)
    situation = preflight.Situation(
        identity=identity,
        login_fault=login_fault,
        known_identity=known_identity,
        has_offset=not begins_anew and connect.stored_offset(settings) is not None,
        topic_faults=tuple(topics.faults(admin, topics.declared(tables.SOURCES))),
        altered=altered,
    )
    admin.close()
    with setup.owner(settings) as cursor:
        found = catalog.read(cursor, captured, settings.source_schema)
        if not situation.has_offset and not preflight.table_faults(captured, settings.source_schema, found, altered):
            early = {table.name: setup.dates_before_christ(cursor, settings.source_schema, table) for table in captured}
            situation = replace(situation, early_dates=frozenset((table, name) for table, names in early.items() for name in names))
    found = replace(found, slot_status=None) if begins_anew else found
    preflight.check(captured, settings.source_schema, found, situation)
    return identity or ""


def rendered(settings: Settings, epoch: int, placeholder: str, scope: connector.Scope = connector.EVERYTHING) -> dict[str, str]:
    """Connector configuration for these settings."""
    return connector.render(
        tables.SOURCES,
        settings.source_schema,
        setup.capture_address(settings),
        settings.secrets_dir,
        epoch,
        placeholder,
        max_record_bytes=settings.max_record_bytes,
        scope=scope,
    )
