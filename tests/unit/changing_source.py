"""A source of one declared table that tests change; what a release remembers of it is a shape, and nothing else of a lake."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

import psycopg2

from lakehouse import tables
from lakehouse.contract import Column, History, Table
from lakehouse.settings import Settings
from lakehouse.source import apply, catalog, connection, gate, partitions, preflight, schema_diff, setup, standing
from lakehouse.source.schema_diff import Shape

SINCE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PLAIN = "CREATE TABLE shop.readings (id bigint PRIMARY KEY, code text NOT NULL UNIQUE, value int)"
PARTITIONED = (
    "CREATE TABLE shop.readings (id bigint PRIMARY KEY, code text NOT NULL, value int) PARTITION BY RANGE (id)",
    "CREATE TABLE shop.readings_low PARTITION OF shop.readings FOR VALUES FROM (0) TO (100)",
)


def declared(name: str) -> Table:
    columns = tuple(Column(name=n, type=t, doc="A value.") for n, t in (("id", "BIGINT"), ("code", "STRING"), ("value", "INT")))
    return Table(
        name=name,
        doc="Readings.",
        grain="one row per reading",
        key=("id",),
        history=History.FULL,
        owner="t",
        max_age_s=60,
        columns=columns,
    )


READINGS = declared("readings")


class Source:
    """A source of one declared table; `look` says what happened since the last one, as (what, state)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.seen: Shape | None = None
        self.reasons: dict[str, str | None] = {}

    def clear(self) -> None:
        """An empty schema, nothing published."""
        self.execute("DROP SCHEMA IF EXISTS shop CASCADE", "DROP PUBLICATION IF EXISTS ebap", "CREATE SCHEMA shop")

    def execute(self, *statements: str) -> None:
        with closing(psycopg2.connect(self.settings.shop_dsn, password=self.settings.secret("shop_owner"))) as opened:
            opened.autocommit = True
            for statement in statements:
                opened.cursor().execute(statement)

    def faults(self, *sources: Table) -> list[str]:
        wanted = sources or (READINGS,)
        with connection.owner(self.settings) as cursor:
            found = catalog.read(cursor, wanted, "shop")
        return preflight.table_faults(wanted, "shop", found)

    def publish(self, *statements: str) -> None:
        """Make the table, publish it as `apply` does, and look at it for the first time."""
        self.execute(*(statements or (PLAIN,)))
        apply.prepare(self.settings, frozenset(), tables.SOURCES)
        assert self.is_published()
        self.look()

    def look(self) -> list[tuple[str, str]]:
        found = gate.source(self.settings)[0]["readings"]
        stood = (self.seen.standing if self.seen else None, found.standing)
        lost = partitions.lossy(self.settings, standing.attached(*stood), standing.rewritten(*stood))
        # As it is remembered.
        after = schema_diff.from_json(schema_diff.to_json(found))
        made = schema_diff.changes(READINGS, self.seen, after, SINCE, lossy=lost, since=SINCE)
        self.seen, self.reasons = after, {change.what: change.reason for change in made}
        return [(change.what, change.state) for change in made]

    def is_published(self) -> bool:
        with connection.owner(self.settings) as cursor:
            return ("shop", "readings") in setup.published(cursor)

    def update(self) -> None:
        self.execute("UPDATE shop.readings SET value = value + 1")
