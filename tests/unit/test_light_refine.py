"""Refine in this process: what it writes, what a second run and a crash leave, when it refuses, and what it leaves to Spark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infra.local import postgres
from lakehouse.lake.state import StateStore
from lakehouse.settings import Settings
from tests.e2e.own_postgres import running_postgres
from tests.unit.light_lake import LightLake
from tests.unit.records import seconds, user


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_postgres(tmp_path_factory.mktemp("light")) as made:
        StateStore(made).create()
        yield made


@pytest.fixture
def lake(settings: Settings, tmp_path: Path) -> LightLake:
    with closing(postgres.connect(settings, "metastore")) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE ebap.table_state")
    return LightLake.at(settings, tmp_path)


def history(lake: LightLake, key: int) -> list[tuple[Any, ...]]:
    """Tier, start and end in seconds, and whether blocked, of each version of a user."""
    rows = sorted((row for row in lake.stored("users") if row["user_id"] == key and row["_is_visible"]), key=lambda row: row["_valid_from"])
    return [(row["tier"], seconds(row["_valid_from"]), seconds(row["_valid_to"]), row["_is_blocked"]) for row in rows]


def test_changes_become_versions_and_a_second_run_writes_nothing(lake: LightLake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")), ("u", 20, user(1, "silver")))
    assert lake.refine("users").changed
    lake.land("users", ("u", 30, user(1, "gold")), ("d", 40, user(1, "gold")))
    assert lake.refine("users").records == 2
    assert history(lake, 1) == [("bronze", 10, 20, False), ("silver", 20, 30, False), ("gold", 30, 40, False)]
    before = lake.version("users")
    # The same records once more: a restart of the capture sends them again with other offsets.
    lake.land("users", ("u", 30, user(1, "gold")), ("d", 40, user(1, "gold")))
    assert not lake.refine("users").changed
    assert not lake.refine("users").changed
    assert lake.version("users") == before
