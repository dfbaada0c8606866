"""Refine in this process: what it writes, what a second run and a crash leave, when it refuses, and what it leaves to Spark."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lakehouse import platform_tables, tables
from lakehouse.errors import TooLargeError
from lakehouse.lake.lake import Lake
from lakehouse.lake.state import StateStore
from lakehouse.settings import Settings
from lakehouse.silver import quarantine
from lakehouse.silver.stored import StoredChanges
from lakehouse.source import schema_log
from tests.refusals import refused
from tests.unit.light_lake import PLACEHOLDER, LightLake
from tests.unit.records import user


@pytest.fixture
def lake(light_settings: Settings, tmp_path: Path) -> LightLake:
    return LightLake.at(light_settings, tmp_path)


def waiting(lake: LightLake, table: str) -> list[tuple[str, int]]:
    """Reason and offset of each record in quarantine."""
    rows = lake.lake.read(platform_tables.QUARANTINE, ("reason", "offset"), {"source_table": [table]}).to_pylist()
    return sorted((row["reason"], row["offset"]) for row in rows)


def live(lake: LightLake, table: str, column: str) -> list[Any]:
    return sorted(row[column] for row in lake.stored(table) if row["_last"] and row["_kind"] in ("read", "upsert"))


def crash(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt("kill -9")


def test_changes_become_versions_and_a_second_run_writes_nothing(lake: LightLake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")), ("u", 20, user(1, "silver")))
    assert lake.refine("users").changed
    lake.land("users", ("u", 30, user(1, "gold")), ("d", 40, user(1, "gold")))
    assert lake.refine("users").records == 2
    assert lake.history(1) == [("bronze", 10, 20, False), ("silver", 20, 30, False), ("gold", 30, 40, False)]
    before = lake.version("users")
    # The same records once more: a restart of the capture sends them again with other offsets.
    lake.land("users", ("u", 30, user(1, "gold")), ("d", 40, user(1, "gold")))
    assert not lake.refine("users").changed
    assert not lake.refine("users").changed
    assert lake.version("users") == before


@pytest.mark.parametrize("where", [(quarantine, "enter"), (StoredChanges, "replace"), (StateStore, "advance")])
def test_a_crash_before_any_write_ends_like_a_clean_run(lake: LightLake, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")))
    lake.refine("users")
    # An operation that is none, beside good changes, one of them late; so that all three writes happen.
    lake.land("users", ("u", 20, user(1, "silver")), ("c", 5, user(1, "gold")), ("x", 30, user(1, "gold")))
    with monkeypatch.context() as patch:
        patch.setattr(*where, crash)
        with pytest.raises(KeyboardInterrupt):
            lake.refine("users")
    assert lake.refine("users").quarantined == 1
    assert [version[:3] for version in lake.history(1)] == [("gold", 5, 10), ("bronze", 10, 20), ("silver", 20, None)]
    assert waiting(lake, "users") == [("no_op", 4)]


def test_a_key_is_blocked_while_a_newer_change_waits_in_quarantine(lake: LightLake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")))
    lake.refine("users")
    lake.land("users", ("u", 30, {"user_id": 1, "birth_on": "no day"}))
    lake.refine("users")
    assert lake.history(1) == [("bronze", 10, None, True)]
    lake.land("users", ("u", 20, user(1, "silver")))
    lake.refine("users")
    assert lake.history(1) == [("bronze", 10, 20, False), ("silver", 20, None, True)]
    lake.land("users", ("u", 40, user(1, "gold")))
    lake.refine("users")
    assert lake.history(1)[1:] == [("silver", 20, 40, False), ("gold", 40, None, False)]


def test_a_record_that_was_replayed_and_cannot_be_read_again_waits_again(lake: LightLake) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    lake.land("users", ("x", 30, user(1, "gold")))
    lake.refine("users")
    held = lake.lake.read(platform_tables.QUARANTINE).to_pylist()[0]
    again = LightLake.at(lake.settings, Path(lake.settings.lake_root.removeprefix("file://")).parent / "again")
    again.add(platform_tables.QUARANTINE, {"source_table": "users"}, *({**held, "replayed_at": at, "offset": offset} for offset in (1, 7)))
    again.land("users", ("x", 30, user(1, "gold")))
    again.refine("users")
    found = {row["offset"]: row["replayed_at"] for row in again.lake.read(platform_tables.QUARANTINE).to_pylist()}
    assert found == {1: None, 7: at}, "the other record of the same file stays as it was"


def test_a_truncate_closes_every_row_and_a_late_change_stays_before_it(lake: LightLake) -> None:
    def item(order: int, quantity: int = 2) -> dict[str, Any]:
        return {"order_id": order, "line_no": 1, "quantity": quantity}

    lake.land("order_items", ("c", 10, item(1)), ("c", 11, item(2)))
    lake.refine("order_items")
    lake.land("order_items", ("t", 20, None), ("c", 30, item(3)))
    assert lake.refine("order_items").changed
    assert live(lake, "order_items", "order_id") == [3]
    lake.land("order_items", ("c", 15, item(4)), ("u", 16, item(1)), ("t", 20, None))
    lake.refine("order_items")
    assert live(lake, "order_items", "order_id") == [3], "what came late from before the truncate is behind it"
    lake.land("order_items", ("u", 25, item(2)))
    lake.refine("order_items")
    assert live(lake, "order_items", "order_id") == [2, 3]
    before = lake.version("order_items")
    lake.land("order_items", ("t", 20, None))
    assert not lake.refine("order_items").changed
    assert lake.version("order_items") == before


def test_a_key_change_in_two_runs_keeps_the_row_and_its_unchanged_value(lake: LightLake) -> None:
    old, new = {"product_id": 1, "description": "long", "name": "a"}, {"product_id": 2, "description": PLACEHOLDER, "name": "b"}
    lake.land("products", ("c", 10, old))
    lake.land_key_change("products", 20, old, new, "c")
    lake.refine("products")
    lake.land_key_change("products", 20, old, new, "d")
    lake.refine("products")
    rows = sorted((row for row in lake.stored("products") if row["_is_visible"]), key=lambda row: row["_valid_from"])
    assert [(r["product_id"], r["description"], r["_previous_key"], r["_valid_to"] is None) for r in rows] == [
        (1, "long", None, False),
        (2, "long", '{"product_id":1}', True),
    ]
    lake.land("products", ("u", 15, {**old, "description": "longer"}))
    lake.refine("products")
    assert live(lake, "products", "description") == ["longer"]


def test_of_two_contents_of_one_change_one_stands_and_the_other_is_kept(lake: LightLake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")))
    lake.refine("users")
    lake.land("users", ("c", 10, user(1, "gold")))
    lake.refine("users")
    ((stands, *_),) = lake.history(1)
    ((reason, offset),) = waiting(lake, "users")
    assert (reason, {stands, {1: "bronze", 2: "gold"}[offset]}) == ("conflicting_duplicate", {"bronze", "gold"})
    before = lake.version("users")
    lake.land("users", ("c", 10, user(1, "bronze")), ("c", 10, user(1, "gold")))
    assert not lake.refine("users").changed
    assert ([version[0] for version in lake.history(1)], lake.version("users")) == ([stands], before)


def test_a_run_that_another_overtakes_begins_again_and_both_apply_once(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")))
    lake.refine("users")
    lake.land("users", ("u", 20, user(1, "silver")))
    write, other = StoredChanges.replace, Lake(lake.settings)

    def overtaken(*arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(StoredChanges, "replace", write)
            from lakehouse.silver import refine

            assert refine.run(other, "users").changed
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StoredChanges, "replace", overtaken)
        assert not lake.refine("users").changed
    assert lake.history(1) == [("bronze", 10, 20, False), ("silver", 20, None, False)]


def test_a_lost_state_is_made_again_from_the_commits(lake: LightLake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")))
    lake.refine("users")
    lake.land("order_items", ("c", 1, {"order_id": 1, "line_no": 1, "quantity": 1}), ("t", 5, None))
    lake.refine("order_items")
    known = lake.lake.states.read(tables.source("order_items"))
    lake.land("order_items", ("c", 4, {"order_id": 2, "line_no": 1, "quantity": 1}))
    lake.lake.states.advance(known, replace(known, updated_at=None, bronze_version=-1, truncates=()))
    result = lake.refine("order_items")
    assert result.records == 1, "only what landed since is read"
    assert live(lake, "order_items", "order_id") == [], "the truncate is known again"


def test_a_commit_that_was_replaced_in_the_log_is_made_again(lake: LightLake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")))
    lake.refine("users")
    lake.land("users", ("u", 20, user(1, "silver")))
    assert lake.refine("users").changed
    log = lake.lake.log(platform_tables.stored(tables.source("users")))
    # What Spark's rename does to it where its look whether the name is free came before.
    lake.lake.store.put(log.commit_path(lake.version("users")), b'{"commitInfo": {"timestamp": 0, "operation": "OPTIMIZE"}}\n')
    assert lake.history(1) == [("bronze", 10, None, False)]
    lake.land("products", ("c", 30, {"product_id": 1, "name": "a"}))
    assert lake.refine("users").records == 1, "from the checkpoint of the commit before"
    assert lake.history(1) == [("bronze", 10, 20, False), ("silver", 20, None, False)]


def test_a_state_beyond_bronze_names_rebuild(lake: LightLake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")))
    lake.refine("users")
    known = lake.lake.states.read(tables.source("users"))
    lake.lake.states.advance(known, replace(known, bronze_version=1000))
    with refused("silver.users", cure="`python -m lakehouse rebuild users`"):
        lake.refine("users")


def test_a_paused_table_is_left_alone_and_goes_on_where_it_stood(lake: LightLake) -> None:
    users = tables.source("users")
    lake.lake.states.pause(users, "ann", "looking")
    lake.land("users", ("c", 10, user(1, "bronze")))
    result = lake.refine("users")
    assert (result.changed, result.records) == (False, 0)
    assert result.paused and "by ann (looking): `python -m lakehouse resume users`" in result.paused
    lake.lake.states.resume(users)
    assert lake.refine("users").records == 1


def test_a_change_of_the_sources_schema_stops_the_table_with_the_cure(lake: LightLake) -> None:
    seen = {"column": "tier", "what": "retyped", "type_before": "text", "type_after": "int4", "state": schema_log.WAITING}
    lake.add(
        platform_tables.SCHEMA_CHANGES, {"source_table": "users"}, {**seen, "seen_at": datetime(2026, 1, 1, tzinfo=UTC), "shape": "{}"}
    )
    lake.land("users", ("c", 10, user(1, "bronze")))
    with refused("column tier retyped, text before, int4 now", "`python -m lakehouse accept users`"):
        lake.refine("users")
    assert "accept users" in (lake.lake.states.read(tables.source("users")).error or "")
    lake.land("products", ("c", 10, {"product_id": 1, "name": "a"}))
    assert lake.refine("products").changed, "another table must not be held back"


def test_many_records_are_left_to_spark_and_write_nothing(lake: LightLake) -> None:
    small = replace(lake.settings, light_records=1)
    lake.lake.settings = small
    lake.land("users", ("c", 10, user(1, "bronze")), ("c", 10, user(2, "bronze")))
    with refused("silver.users", "EBAP_LIGHT_RECORDS=1", kind=TooLargeError):
        lake.refine("users")
    assert lake.stored("users") == []


@pytest.mark.parametrize(("table", "row", "is_left"), [("users", user(1, "gold"), True), ("users", user(2, "gold"), False)])
def test_records_of_forgotten_people_are_left_to_spark(lake: LightLake, table: str, row: dict[str, Any], is_left: bool) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    lake.add(platform_tables.ERASURES, {"source_table": "users"}, {"key": '{"user_id":1}', "forgotten_at": at, "erased_at": at})
    lake.land(table, ("c", 10, row))
    if is_left:
        with pytest.raises(TooLargeError, match="forgotten people"):
            lake.refine(table)
        assert lake.stored(table) == []
    else:
        assert lake.refine(table).changed
