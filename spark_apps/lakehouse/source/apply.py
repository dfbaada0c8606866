"""Steps of the capture commands: inspect the source and its surroundings, refuse or prepare, configure the connector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import psycopg2

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.lake import epochs
from lakehouse.lake.epochs import Source
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import broker, catalog, connect, connection, connector, mending, preflight, setup, topics
from lakehouse.source.schema_log import SchemaLog

RUNNING_LIMIT_S = 120
# Each time one more column or table is taken out that keeps the connector from running.
_MENDS = 10


def apply(lake: Lake) -> None:
    """Prepare the source, pass the preflight, put the connector and wait until it runs; safe to repeat.

    Raises EbapError before the connector is touched; the source is prepared only where every table can be published.
    """
    from lakehouse.source import gate

    settings, known = lake.settings, epochs.of_lake(lake)
    if known and source_identity(settings)[0] == known.identity:
        # What changed while the capture was down is the gate's to judge, a table at a time, before it could be the preflight's.
        gate.record(lake)
    altered, captured = SchemaLog(lake).altered_columns(), fit(SchemaLog(lake))
    prepare(settings, altered, captured)
    identity = check(settings, known.identity if known else None, altered, captured)
    # Remembered before the first record can arrive, so that no record's placeholder is ever unknown.
    known = known or epochs.remember_source(lake, identity)
    gate.record(lake)
    run(lake, known)


def fit(log: SchemaLog) -> list[Table]:
    """The declared tables without those that the schema's gate has stopped as unfit: one of these keeps no other from starting."""
    unfit = log.unfit()
    return [table for table in tables.SOURCES if table.name not in unfit]


def prepare(settings: Settings, altered: preflight.Altered, captured: Sequence[Table]) -> None:
    """Make or correct what capture needs in the source, where every table can be published."""
    with setup.owner(settings) as cursor:
        found = catalog.read(cursor, captured, settings.source_schema)
        if not preflight.table_faults(captured, settings.source_schema, found, altered):
            setup.prepare(cursor, captured, settings.source_schema)


def run(lake: Lake, known: Source) -> None:
    """Put the connector as the lake knows its source, and wait until it runs, without what keeps it from running."""
    from lakehouse.source import gate

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
    """Run the whole preflight for these tables and return the source's identity; raises EbapError with every fault.

    `begins_anew` judges as if slot and offset were gone already.
    """
    identity, login_fault = source_identity(settings)
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


def source_identity(settings: Settings) -> tuple[str | None, str | None]:
    """`<system identifier>/<timeline>` of the source, or None and why capture cannot ask.

    Asked over a replication connection of the capture role, which thereby proves its login, its right and the way there.
    """
    try:
        with connection.capture_replication(settings) as opened, opened.cursor() as cursor:
            cursor.execute("IDENTIFY_SYSTEM")
            answer = cursor.fetchone()
    except psycopg2.OperationalError as error:
        return None, " ".join(str(error).split())
    return (f"{answer[0]}/{answer[1]}", None) if answer else (None, "IDENTIFY_SYSTEM gave no answer")


def rendered(settings: Settings, epoch: int, placeholder: str, scope: connector.Scope = connector.EVERYTHING) -> dict[str, str]:
    """The connector's configuration for these settings."""
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
