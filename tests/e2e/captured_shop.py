"""A captured shop without Spark: a real Postgres, Kafka and Connect, and a lake in which the gate records what it sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.lake import epochs
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import admission, apply, connect, connection, gate, topics
from lakehouse.source.schema_log import SchemaLog
from tests.e2e import wire
from tests.e2e.conftest import until
from tests.e2e.own_capture import running_capture
from tests.unit import light_lake

PLACEHOLDER = "__ebap_unchanged_5f"


class Shop:
    """A captured shop: statements at the source, looks of the gate, records in Kafka."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.lake = settings, Lake(settings)

    @property
    def log(self) -> SchemaLog:
        """What is recorded of the source's schema by now."""
        return SchemaLog(self.lake)

    def execute(self, *statements: str) -> None:
        with connection.owner_session(self.settings) as opened, opened.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def capture(self) -> None:
        """Publish the tables, and wait until the connector has read them."""
        with KafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap) as admin:
            topics.create(admin, topics.declared(tables.SOURCES), self.settings.max_batch_bytes)
        apply.prepare(self.settings, frozenset(), tables.SOURCES)
        identity = connection.source_identity(self.settings)[0] or ""
        light_lake.create(self.settings, {"ebap.epoch": "1", "ebap.source.1": identity, "ebap.placeholder.1": PLACEHOLDER})
        gate.record(self.lake)
        apply.run(self.lake, epochs.Source(epoch=1, identity=identity, placeholders=(PLACEHOLDER,)))
        connect.wait_snapshot(self.settings, 120)

    def look(self) -> str:
        return gate.look(self.settings, only_if_changed=True)

    def accept(self, table: str) -> list[str]:
        return admission.accept(self.lake, tables.source(table))

    def rows(self, table: str, **key: Any) -> list[wire.Envelope]:
        return wire.envelopes(self.settings, table, key)

    def has_failed(self) -> bool:
        return "FAILED" in vars(connect.state(self.settings)).values()

    def sign(self, user_id: int) -> None:
        """A change of another table comes through; looks are taken meanwhile, as land does."""
        self.execute(f"UPDATE shop.users SET full_name = 'Signed' WHERE user_id = {user_id}")

        def has_come() -> bool:
            if self.has_failed():
                self.look()
            return any((found.row or {}).get("full_name") == "Signed" for found in self.rows("users", user_id=user_id))

        until(has_come, 120, f"the change of user {user_id}, of another table")


@contextmanager
def captured(home: Path, sources: Sequence[Table]) -> Iterator[Shop]:
    """A shop with these declared tables, of which nothing is made yet."""
    with pytest.MonkeyPatch.context() as patch, running_capture(home) as settings:
        patch.setattr(tables, "SOURCES", tuple(sources))
        patch.setattr(tables, "source", lambda name: next(table for table in tables.SOURCES if table.name == name))
        yield Shop(settings)
