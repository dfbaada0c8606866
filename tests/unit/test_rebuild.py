"""Rebuilds on real Delta tables: what they touch, what a reader sees meanwhile, and what becomes of a refine they meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import platform_tables, tables
from lakehouse.errors import ConflictError
from lakehouse.lake import replacement, storage
from lakehouse.lake.state import StateStore
from lakehouse.settings import Settings
from lakehouse.silver import pausing, rebuild
from tests.conftest import empty_lake
from tests.refusals import refused
from tests.unit.lake import Lake, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

USERS = tables.source("users")
CHANGES = platform_tables.stored(USERS).full_name


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(spark, empty_lake(spark, lake_settings, tmp_path_factory.mktemp("rebuild")))
    # Two changes a user, the second of every tenth a day later.
    for lsn, tier in ((10, "bronze"), (20, "silver")):
        made.land("users", *(("u", lsn + (86_400 if lsn == 20 and key % 10 == 0 else 0), user(key, tier)) for key in range(1, 41)))
        made.refine("users")
    return made


def _rebuild(lake: Lake, **part: Any) -> rebuild.RebuildResult:
    return rebuild.run(lake.spark, lake.settings, "users", **part)


def _plant(lake: Lake, condition: str) -> None:
    """A fault in what is stored that bronze knows nothing of."""
    lake.spark.sql(f"UPDATE {CHANGES} SET tier = 'planted' WHERE {condition}")


def _planted(lake: Lake) -> list[int]:
    return sorted(row["user_id"] for row in lake.spark.sql(f"SELECT DISTINCT user_id FROM {CHANGES} WHERE tier = 'planted'").collect())


def _mark(lake: Lake) -> int:
    return lake.state("users").bronze_version


def _overtaking(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, first: Callable[[], Any]) -> None:
    """What stands under that name does something else before, the first time."""
    real, todo = getattr(module, name), [first]

    def overtaken(*arguments: Any, **more: Any) -> Any:
        if todo:
            todo.pop()()
        return real(*arguments, **more)

    monkeypatch.setattr(module, name, overtaken)


def test_only_the_named_keys_are_made_anew_and_the_mark_stays(lake: Lake) -> None:
    _plant(lake, "user_id IN (1, 2, 3, 4)")
    lake.land("users", ("u", 30, user(40, "gold")))
    mark = _mark(lake)
    made = _rebuild(lake, keys=["1", "[3, 999]"])
    assert (made.keys, made.changed) == (3, True)
    assert (_planted(lake), _mark(lake)) == ([2, 4], mark)
    assert [version[:3] for version in lake.history("users", 3)] == [("bronze", 10, 20), ("silver", 20, None)]
    version = lake.version("users")
    assert not _rebuild(lake, keys=["1", "3"]).changed
    assert lake.version("users") == version, "nothing differs: no commit"
    assert lake.refine("users").records == 1
    assert _rebuild(lake).changed
    assert _planted(lake) == []
    assert not _rebuild(lake).changed


def test_rows_that_bronze_does_not_know_go_and_gold_can_tell(lake: Lake) -> None:
    names = ", ".join(f"`{name}`" for name in platform_tables.stored(USERS).column_names)
    for key, lsn in ((5, 15), (777, 10)):
        row = ", ".join(
            {"user_id": str(key), "_lsn": str(lsn)}.get(name, f"`{name}`") for name in platform_tables.stored(USERS).column_names
        )
        lake.spark.sql(f"INSERT INTO {CHANGES} ({names}) SELECT {row} FROM {CHANGES} WHERE user_id = 5 AND _lsn = 10")
    lake.land("users", ("u", 40, user(39, "gold")))
    assert _rebuild(lake, keys=["5"]).changed
    assert lake.spark.table(CHANGES).where("user_id = 5").count() == 2
    newest = storage.bronze_version(lake.spark)
    assert {row["_run"] for row in lake.spark.table(CHANGES).where("user_id = 5").collect()} == {newest}
    assert _rebuild(lake, keys=["777"]).changed
    assert lake.spark.table(CHANGES).where("user_id = 777").isEmpty()
    # No row is left to tell of the key, so every row does.
    assert {row["_run"] for row in lake.spark.table(CHANGES).select("_run").distinct().collect()} == {newest}
    lake.refine("users")


def test_days_name_the_keys_that_changed_on_them(lake: Lake) -> None:
    _plant(lake, "user_id IN (10, 11, 20)")
    made = _rebuild(lake, days=(date(2026, 1, 2), date(2026, 1, 2)))
    assert (made.keys, _planted(lake)) == (4, [11])
    _rebuild(lake, days=(date(2026, 1, 1), date(2026, 1, 2)))
    assert _planted(lake) == []


def test_a_key_that_was_changed_is_made_anew_with_what_it_took_from_the_old_one(lake: Lake) -> None:
    def item(order: int, quantity: int) -> dict[str, Any]:
        return {"order_id": order, "line_no": 1, "quantity": quantity}

    def live() -> set[tuple[int, int]]:
        return {(row["order_id"], row["quantity"]) for row in lake.spark.table("silver.order_items").collect()}

    lake.land("order_items", ("c", 5, item(4, 9)), ("t", 8, None), ("c", 10, item(1, 2)), ("c", 11, item(3, 2)))
    lake.land_key_change("order_items", 20, item(1, 2), item(2, 2))
    lake.refine("order_items")
    for column, order in (("quantity", 2), ("quantity", 3)):
        lake.spark.sql(f"UPDATE silver.order_items_changes SET {column} = 77 WHERE order_id = {order}")
    lake.spark.sql("DELETE FROM silver.order_items_changes WHERE order_id IN (1, 4)")
    keys = [f'[{{"order_id": {order}, "line_no": 1}}, {{"order_id": {order}, "line_no": 1}}]' for order in (2, 4)]
    rebuild.run(lake.spark, lake.settings, "order_items", keys=keys)
    assert live() == {(2, 2), (3, 77)}, "a truncate is of every key, and only the named ones are written"
    assert lake.spark.table("silver.order_items_changes").where("order_id = 1").isEmpty()
    rebuild.run(lake.spark, lake.settings, "order_items")
    assert live() == {(2, 2), (3, 2)}


def test_a_reader_sees_the_old_table_until_the_new_one_is_whole(lake: Lake) -> None:
    _plant(lake, "true")
    seen: list[tuple[int, int]] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            row = lake.spark.sql("SELECT count(*) AS users, count_if(tier = 'planted') AS planted FROM silver.users").first()
            assert row
            seen.append((row["users"], row["planted"]))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        _rebuild(lake)
    finally:
        over.set()
        reader.join()
    assert set(seen) <= {(40, 40), (40, 0)}, set(seen)
    assert len([each for each in seen if each == (40, 40)]) > 2, "the reader was at work while the table was made"
    assert _planted(lake) == []
    # Gold computes everything again where no row is of an earlier run.
    assert [row["_run"] for row in lake.spark.table(CHANGES).select("_run").distinct().collect()] == [storage.bronze_version(lake.spark)]


@pytest.mark.parametrize("part", [{}, {"keys": ["6"]}], ids=["whole", "keys"])
def test_a_refine_that_comes_between_loses_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch, part: dict[str, Any]) -> None:
    lsn, tier = (110, "platinum") if part else (100, "gold")
    _plant(lake, "user_id = 6 AND _lsn = 10")
    lake.land("users", ("u", 90, user(7, "gold")))

    def refined() -> None:
        lake.land("users", ("u", lsn, user(6, tier)))
        lake.refine("users")

    with monkeypatch.context() as patch:
        _overtaking(patch, replacement, "replace_all" if not part else "replace_some", refined)
        made = _rebuild(lake, **part)
    assert made.changed
    assert _mark(lake) <= made.bronze_version, "what the refine took after the rebuild had read must be taken again"
    assert lake.refine("users").records >= 1
    assert lake.history("users", 6)[-1][:3] == (tier, lsn, None)
    assert (_planted(lake), _mark(lake)) == ([], storage.bronze_version(lake.spark))


@pytest.mark.parametrize("write", ["merge_silver", "advance"])
def test_a_refine_that_a_rebuild_overtakes_says_so_and_moves_no_mark(lake: Lake, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
    key = {"merge_silver": 8, "advance": 9}[write]
    _plant(lake, f"user_id = {key} AND _lsn = 10")
    lake.land("users", ("u", 200 + key, user(key, "gold")))
    before = _mark(lake)
    with monkeypatch.context() as patch:
        _overtaking(patch, StateStore if write == "advance" else storage, write, lambda: _rebuild(lake, keys=[str(key)]))
        with pytest.raises(ConflictError):
            lake.refine("users")
    assert _mark(lake) == before
    lake.refine("users")
    assert lake.history("users", key)[-1][:3] == ("gold", 200 + key, None)
    assert _planted(lake) == []


def test_a_paused_table_is_left_alone_and_goes_on_where_it_stood(lake: Lake) -> None:
    mark = _mark(lake)
    assert pausing.pause(lake.settings, "users", "ann", "looking at user 12").changed
    assert not pausing.pause(lake.settings, "users", "bob").changed
    lake.land("users", ("u", 300, user(12, "gold")))
    result = lake.refine("users")
    assert (result.changed, result.records, _mark(lake)) == (False, 0, mark)
    assert result.paused and "by ann (looking at user 12): `python -m lakehouse resume users`" in result.paused
    assert lake.refine("products").paused is None
    assert pausing.resume(lake.settings, "users").changed
    assert not pausing.resume(lake.settings, "users").changed
    assert lake.refine("users").records == 1
    assert lake.history("users", 12)[-1][:3] == ("gold", 300, None)


def test_keys_that_are_none_of_the_tables_are_named(lake: Lake) -> None:
    with refused("silver.users", "user_id (BIGINT)", "'seven'"):
        _rebuild(lake, keys=["seven"])
