"""The record of the source's schema without Spark: what stands in it, and two looks that meet."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lakehouse import platform_tables, tables
from lakehouse.contract import Column
from lakehouse.errors import ConflictError
from lakehouse.lake import epochs
from lakehouse.settings import Settings
from lakehouse.source.schema_log import APPLIED, DRIFT, WAITING, SchemaChange, SchemaLog
from tests.refusals import refused
from tests.unit.light_lake import LightLake

USERS = tables.source("users")
ADDED = SchemaChange(
    source_table="users",
    column="note",
    what="added",
    type_before=None,
    type_after="text",
    seen_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    state=DRIFT,
    shape="{}",
)
RETYPED = replace(ADDED, column="tier", what="retyped", type_before="text", type_after="int4", state=WAITING)


@pytest.fixture
def lake(light_settings: Settings, tmp_path: Path) -> LightLake:
    return LightLake.at(light_settings, tmp_path)


def test_what_waits_stops_its_table_until_it_is_accepted(lake: LightLake) -> None:
    SchemaLog(lake.lake).record([ADDED, RETYPED], tables.SOURCES)
    assert "column tier retyped" in str(SchemaLog(lake.lake).stop(USERS))
    assert SchemaLog(lake.lake).altered_columns() == {("users", "tier")}
    assert SchemaLog(lake.lake).accept(USERS) == [RETYPED]
    log = SchemaLog(lake.lake)
    assert log.stop(USERS) is None
    assert [(change.column, change.state, change.accepted_at is None) for change in log.changes] == [
        ("note", "drift", True),
        ("tier", "accepted", False),
    ]
    with refused("users"):
        log.accept(USERS)


def test_drift_that_is_declared_by_now_is_applied_once(lake: LightLake) -> None:
    SchemaLog(lake.lake).record([ADDED], tables.SOURCES)
    declared = replace(USERS, columns=(*USERS.columns, Column(name="note", type="STRING", doc="A note.")))
    SchemaLog(lake.lake).record([], [declared])
    version = lake.lake.snapshot(platform_tables.SCHEMA_CHANGES).version
    SchemaLog(lake.lake).record([], [declared])
    assert [change.state for change in SchemaLog(lake.lake).changes] == [APPLIED]
    assert lake.lake.snapshot(platform_tables.SCHEMA_CHANGES).version == version, "nothing to write is no commit"


def test_of_two_looks_that_meet_one_is_recorded(lake: LightLake) -> None:
    one, other = SchemaLog(lake.lake), SchemaLog(lake.lake)
    one.record([ADDED], tables.SOURCES)
    with pytest.raises(ConflictError):
        other.record([ADDED], tables.SOURCES)
    assert SchemaLog(lake.lake).changes == [ADDED]


def test_another_postgres_is_the_next_epoch_beside_rows_that_land(lake: LightLake) -> None:
    before = epochs.of_lake(lake.lake)
    assert before is not None
    lake.land("users", ("c", 10, {"user_id": 1}))
    made = epochs.remember_source(lake.lake, "another")
    lake.land("users", ("c", 20, {"user_id": 2}))
    assert epochs.of_lake(lake.lake) == made
    assert (made.epoch, made.identity, made.placeholders[:-1]) == (before.epoch + 1, "another", before.placeholders)
    assert len(lake.lake.read(platform_tables.CHANGES)) == 2
