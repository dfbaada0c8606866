"""Refine on real Delta tables: what a crash leaves, what a second run writes, and when it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import platform_tables, tables
from lakehouse.errors import ConflictError
from lakehouse.lake import state, storage
from lakehouse.settings import Settings
from lakehouse.silver import rebuild
from tests.conftest import empty_lake
from tests.refusals import refused
from tests.unit.lake import Lake, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(spark, empty_lake(spark, lake_settings, tmp_path_factory.mktemp("refine")))


def _crash(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt("kill -9")


def test_changes_become_versions_and_a_second_run_writes_nothing(lake: Lake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")), ("u", 20, user(1, "silver")))
    assert lake.refine("users").changed
    lake.land("users", ("u", 30, user(1, "gold")), ("d", 40, user(1, "gold")))
    assert lake.refine("users").records == 2
    assert lake.history("users", 1) == [("bronze", 10, 20, False), ("silver", 20, 30, False), ("gold", 30, 40, False)]
    before = lake.version("users")
    # The same records once more: a restart of the capture sends them again with other offsets.
    lake.land("users", ("u", 30, user(1, "gold")), ("d", 40, user(1, "gold")))
    assert not lake.refine("users").changed
    assert not lake.refine("users").changed
    assert lake.version("users") == before


@pytest.mark.parametrize("write", ["append_quarantine", "merge_silver", "advance"])
def test_a_crash_before_any_write_ends_like_a_clean_run(lake: Lake, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
    key = {"append_quarantine": 11, "merge_silver": 12, "advance": 13}[write]
    lake.land("users", ("c", 10, user(key, "bronze")))
    lake.refine("users")
    # A tier that is no text, beside good changes, one of them late; so that all three writes happen.
    lake.land("users", ("u", 20, user(key, "silver")), ("c", 5, user(key, "gold")), ("x", 30, user(key, "gold")))
    with monkeypatch.context() as patch:
        patch.setattr(state.StateStore if write == "advance" else storage, write, _crash)
        with pytest.raises(KeyboardInterrupt):
            lake.refine("users")
    lake.refine("users")
    assert [version[:3] for version in lake.history("users", key)] == [("gold", 5, 10), ("bronze", 10, 20), ("silver", 20, None)]
    waiting = storage.read_quarantine(lake.spark, tables.source("users")).where(f"CAST(key AS STRING) = '{{\"user_id\": {key}}}'")
    assert waiting.count() == 1


def test_a_key_is_blocked_while_a_newer_change_waits_in_quarantine(lake: Lake) -> None:
    lake.land("users", ("c", 10, user(21, "bronze")))
    lake.refine("users")
    lake.land("users", ("u", 30, {"user_id": 21, "birth_on": "no day"}))
    lake.refine("users")
    assert lake.history("users", 21) == [("bronze", 10, None, True)]
    lake.land("users", ("u", 20, user(21, "silver")))
    lake.refine("users")
    assert lake.history("users", 21) == [("bronze", 10, 20, False), ("silver", 20, None, True)]
    lake.land("users", ("u", 40, user(21, "gold")))
    lake.refine("users")
    assert lake.history("users", 21)[1:] == [("silver", 20, 40, False), ("gold", 40, None, False)]


def test_rebuild_gives_what_the_runs_gave(lake: Lake) -> None:
    table = tables.source("users")
    shown = [name for name in platform_tables.stored(table).column_names if name != "_run"]

    def rows() -> list[str]:
        return sorted(map(str, storage.read_silver_changes(lake.spark, table).select(*shown).collect()))

    lake.land("users", ("c", 10, user(31, "bronze")), ("u", 20, {"user_id": 31, "birth_on": "no day"}))
    lake.refine("users")
    before = rows()
    result = rebuild.run(lake.spark, lake.settings, "users")
    assert rows() == before
    assert not result.changed, "nothing differed"
    assert not lake.refine("users").changed


def test_a_truncate_closes_every_row_and_a_late_change_stays_before_it(lake: Lake) -> None:
    def item(order: int, quantity: int = 2) -> dict[str, Any]:
        return {"order_id": order, "line_no": 1, "quantity": quantity}

    def live() -> set[int]:
        return {row["order_id"] for row in lake.spark.table("silver.order_items").collect()}

    lake.land("order_items", ("c", 10, item(1)), ("c", 11, item(2)))
    lake.refine("order_items")
    lake.land("order_items", ("t", 20, None), ("c", 30, item(3)))
    assert lake.refine("order_items").changed
    assert live() == {3}
    lake.land("order_items", ("c", 15, item(4)), ("u", 16, item(1)), ("t", 20, None))
    lake.refine("order_items")
    assert live() == {3}, "what came late from before the truncate is behind it"
    lake.land("order_items", ("u", 25, item(2)))
    lake.refine("order_items")
    assert live() == {2, 3}
    before = lake.version("order_items")
    lake.land("order_items", ("t", 20, None))
    assert not lake.refine("order_items").changed
    assert lake.version("order_items") == before
    rebuild.run(lake.spark, lake.settings, "order_items")
    assert live() == {2, 3}


def test_a_key_change_in_two_runs_keeps_the_row_and_its_unchanged_value(lake: Lake) -> None:
    lake.spark.sql(f"ALTER TABLE {storage.BRONZE} SET TBLPROPERTIES ('ebap.epoch'='1','ebap.source.1'='s','ebap.placeholder.1'='__same')")
    old, new = {"product_id": 1, "description": "long", "name": "a"}, {"product_id": 2, "description": "__same", "name": "b"}
    lake.land("products", ("c", 10, old))
    lake.land_key_change("products", 20, old, new, "c")
    lake.refine("products")
    lake.land_key_change("products", 20, old, new, "d")
    lake.refine("products")
    rows = lake.spark.table("silver.products_history").orderBy("_valid_from").collect()
    assert [(r["product_id"], r["description"], r["_previous_key"], r["_is_current"]) for r in rows] == [
        (1, "long", None, False),
        (2, "long", '{"product_id":1}', True),
    ]
    lake.land("products", ("u", 15, {**old, "description": "longer"}))
    lake.refine("products")
    assert [row["description"] for row in lake.spark.table("silver.products").collect()] == ["longer"]


def test_of_two_contents_of_one_change_one_stands_and_the_other_is_kept(lake: Lake) -> None:
    def found() -> tuple[set[str], set[str]]:
        beaten = storage.read_quarantine(lake.spark, tables.source("users")).where("reason = 'conflicting_duplicate'").collect()
        tiers = {json.loads(row["value"])["after"]["tier"] for row in beaten}
        return {row[0] for row in lake.history("users", 51)}, tiers

    lake.land("users", ("c", 10, user(51, "bronze")))
    lake.refine("users")
    lake.land("users", ("c", 10, user(51, "gold")))
    lake.refine("users")
    stands, beaten = found()
    assert stands | beaten == {"bronze", "gold"}
    assert len(stands) == len(beaten) == 1
    before = lake.version("users")
    lake.land("users", ("c", 10, user(51, "bronze")), ("c", 10, user(51, "gold")))
    assert not lake.refine("users").changed
    assert (found(), lake.version("users")) == ((stands, beaten), before)
    rebuild.run(lake.spark, lake.settings, "users")
    assert found() == (stands, beaten)


def test_two_runs_made_from_one_version_never_both_apply(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(41, "bronze")))
    lake.refine("users")
    lake.land("users", ("u", 20, user(41, "silver")))
    merge: Callable[..., None] = storage.merge_silver

    def overtaken(*arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(storage, "merge_silver", merge)
            lake.refine("users")
        merge(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "merge_silver", overtaken)
        with refused("silver.users_changes", kind=ConflictError, is_retryable=True):
            lake.refine("users")
    assert lake.history("users", 41) == [("bronze", 10, 20, False), ("silver", 20, None, False)]


def test_a_mark_beyond_bronze_names_rebuild(lake: Lake) -> None:
    version = lake.state("users").bronze_version
    lake.write_state("users", bronze_version=version + 1000)
    with refused("silver.users", cure="`python -m lakehouse rebuild users`"):
        lake.refine("users")
    lake.write_state("users", bronze_version=version)
