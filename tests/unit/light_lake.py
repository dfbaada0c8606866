"""A lake without Spark: empty tables as the catalog makes them, records landed by hand, refined in this process."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.services import postgres
from lakehouse import platform_tables, tables
from lakehouse.contract import Table
from lakehouse.delta.commit import commit
from lakehouse.delta.log import TableLog
from lakehouse.delta.store import LocalStore
from lakehouse.lake import ddl
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.silver import refine
from lakehouse.transforms.records import arrow
from tests.unit.records import Records, seconds

_DELTA_TYPES = {"BIGINT": "long", "INT": "integer", "SMALLINT": "short", "ARRAY<STRING>": {"type": "array", "elementType": "string"}}
_FEATURES = {"delta.enableDeletionVectors": "deletionVectors", "delta.enableChangeDataFeed": "changeDataFeed"}
_FEATURES["delta.enableTypeWidening"] = "typeWidening"
PLACEHOLDER = "__unchanged_of_this_test"
SOURCE = {"ebap.epoch": "1", "ebap.source.1": "a test", "ebap.placeholder.1": PLACEHOLDER}
_OF_READERS = ("deletionVectors", "typeWidening")


def create(settings: Settings, source: Mapping[str, str] = SOURCE) -> None:
    """Make every stored table, empty; what `publish` makes by Spark, as far as the Delta log goes. `source`: properties of bronze."""
    for table in ddl.stored_tables():
        create_table(settings, table, source)


def create_table(settings: Settings, table: Table, source: Mapping[str, str] = SOURCE) -> None:
    """Make one stored table, empty."""
    properties = ddl.properties(settings, table) | (dict(source) if table is platform_tables.CHANGES else {})
    features = sorted(feature for name, feature in _FEATURES.items() if properties.get(name) == "true")
    protocol: dict[str, Any] = {"minReaderVersion": 3, "minWriterVersion": 7}
    protocol |= {"readerFeatures": [name for name in features if name in _OF_READERS]}
    protocol |= {"writerFeatures": [*features, "appendOnly", "invariants"]}
    fields = [{"name": c.name, "type": _delta_type(c.type), "nullable": True, "metadata": {"comment": c.doc}} for c in table.columns]
    about = {"id": str(uuid.uuid4()), "format": {"provider": "parquet", "options": {}}, "configuration": properties, "createdTime": 0}
    about |= {"schemaString": json.dumps({"type": "struct", "fields": fields}), "partitionColumns": list(table.partitions)}
    actions = [{"commitInfo": {"timestamp": 0, "operation": "CREATE TABLE"}}, {"protocol": protocol}, {"metaData": about}]
    path = f"{ddl.location(settings, table)}/_delta_log/{0:020d}.json"
    LocalStore().put_new(path, "".join(f"{json.dumps(action)}\n" for action in actions).encode())


class LightLake(Records):
    """One lake, with the tables made; offsets count on from 1, and what is landed is of `epoch`."""

    folder: Path

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        create(settings)
        self.settings, self.lake = settings, Lake(settings)

    @classmethod
    def at(cls, settings: Settings, folder: Path) -> LightLake:
        """A new one in that folder; the state of the one before it is forgotten."""
        with closing(postgres.connect(settings, "metastore")) as connection, connection.cursor() as cursor:
            cursor.execute("TRUNCATE ebap.table_state")
        made = cls(replace(settings, lake=f"file://{folder}/lake"))
        made.folder = folder
        return made

    def append(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """One commit to bronze, as land makes it: a file for each table and day."""
        names = platform_tables.CHANGES.column_names
        by_partition: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
        for row in rows:
            values = dict(zip(names, row, strict=True))
            by_partition.setdefault((values.pop("source_table"), values.pop("_landed_on")), []).append(values)
        schema = pa.schema([(c.name, arrow.arrow_type(c.type)) for c in platform_tables.CHANGES.columns[2:]])
        writes = [
            ({"source_table": name, "_landed_on": day}, pa.Table.from_pylist(group, schema=schema))
            for (name, day), group in by_partition.items()
        ]
        log = self.lake.log(platform_tables.CHANGES)
        commit(log, log.snapshot(), operation="STREAMING UPDATE", writes=writes, is_blind=True)

    def refine(self, table: str) -> refine.RefineResult:
        return refine.run(self.lake, table)

    def add(self, table: Table, partition: dict[str, Any], *rows: dict[str, Any]) -> None:
        """Append rows to one of the platform's own tables."""
        schema = pa.schema([(c.name, arrow.arrow_type(c.type)) for c in table.columns if c.name not in partition])
        log = self.lake.log(table)
        commit(log, log.snapshot(), operation="WRITE", writes=[(partition, pa.Table.from_pylist([*rows], schema=schema))], is_blind=True)

    def accept_source(self) -> None:
        """Have the lake filled from another Postgres from here on."""
        self.epoch += 1
        known = {"ebap.epoch": str(self.epoch), f"ebap.source.{self.epoch}": "another", f"ebap.placeholder.{self.epoch}": "another"}
        _with_properties(self.settings, platform_tables.CHANGES, known)

    def history(self, key: int) -> list[tuple[Any, ...]]:
        """Tier, start and end in seconds, and whether blocked, of each version of a user."""
        rows = sorted((r for r in self.stored("users") if r["user_id"] == key and r["_is_visible"]), key=lambda row: row["_valid_from"])
        return [(row["tier"], seconds(row["_valid_from"]), seconds(row["_valid_to"]), row["_is_blocked"]) for row in rows]

    def version(self, table: str) -> int:
        return self.lake.snapshot(platform_tables.stored(tables.source(table))).version

    def stored(self, table: str) -> list[dict[str, Any]]:
        """All stored changes of a table, as dictionaries."""
        rows: list[dict[str, Any]] = self.lake.read(platform_tables.stored(tables.source(table))).to_pylist()
        return rows


def _with_properties(settings: Settings, table: Table, properties: dict[str, str]) -> None:
    """Commit other properties, as ALTER TABLE does."""
    log = TableLog(LocalStore(), ddl.location(settings, table))
    known = log.snapshot()
    about = {**known.metadata.raw, "configuration": {**known.configuration, **properties}}
    actions = [{"commitInfo": {"timestamp": 0, "operation": "SET TBLPROPERTIES"}}, {"metaData": about}]
    LocalStore().put_new(log.commit_path(known.version + 1), "".join(f"{json.dumps(action)}\n" for action in actions).encode())


def _delta_type(type_: str) -> Any:
    if type_ == "ARRAY<STRING>":
        return {"type": "array", "elementType": "string", "containsNull": True}
    if type_.startswith("ARRAY"):
        inner = [{"name": n, "type": t, "nullable": True, "metadata": {}} for n, t in (("key", "string"), ("value", "binary"))]
        return {"type": "array", "elementType": {"type": "struct", "fields": inner}, "containsNull": True}
    return _DELTA_TYPES.get(type_, type_.lower())
