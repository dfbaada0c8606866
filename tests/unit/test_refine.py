"""Refine on real Delta tables: what a crash leaves, what a second run writes, and when it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import rebuild
import refine
from lakehouse import ledger, storage, tables
from lakehouse.settings import Settings
from tests.conftest import empty_lake
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


@pytest.mark.parametrize("write", ["append_quarantine", "merge_silver", "move_progress"])
def test_a_crash_before_any_write_ends_like_a_clean_run(lake: Lake, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
    key = {"append_quarantine": 11, "merge_silver": 12, "move_progress": 13}[write]
    lake.land("users", ("c", 10, user(key, "bronze")))
    lake.refine("users")
    # A tier that is no text, beside good changes, one of them late; so that all three writes happen.
    lake.land("users", ("u", 20, user(key, "silver")), ("c", 5, user(key, "gold")), ("x", 30, user(key, "gold")))
    with monkeypatch.context() as patch:
        patch.setattr(storage, write, _crash)
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
    shown = [name for name in ledger.stored(table).column_names if name != "_run"]

    def rows() -> list[str]:
        return sorted(map(str, storage.read_silver_changes(lake.spark, table).select(*shown).collect()))

    lake.land("users", ("c", 10, user(31, "bronze")), ("u", 20, {"user_id": 31, "birth_on": "no day"}))
    lake.refine("users")
    before = rows()
    result = rebuild.run(lake.spark, lake.settings, "users")
    assert rows() == before
    assert not result.changed, "nothing differed"
    assert not lake.refine("users").changed


def test_a_truncate_stops_its_table_and_nothing_is_applied_past_it(lake: Lake) -> None:
    lake.land("order_items", ("c", 10, {"order_id": 1, "line_no": 1, "quantity": 2}))
    lake.refine("order_items")
    lake.land("order_items", ("t", 20, None), ("c", 30, {"order_id": 2, "line_no": 1, "quantity": 2}))
    for _ in range(2):
        with pytest.raises(refine.RefineError, match=r"silver\.order_items stops at a TRUNCATE .* lsn 20"):
            lake.refine("order_items")
    assert lake.spark.table("silver.order_items").count() == 1
    mark = storage.progress(lake.spark, "order_items")
    assert mark and mark.error and "TRUNCATE" in mark.error
    assert not lake.refine("products").changed, "another table must not be held back"


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
        with pytest.raises(refine.RefineError, match="another refine of users is running"):
            lake.refine("users")
    assert lake.history("users", 41) == [("bronze", 10, 20, False), ("silver", 20, None, False)]


def test_a_mark_beyond_bronze_names_rebuild(lake: Lake) -> None:
    mark = storage.progress(lake.spark, "users")
    assert mark
    storage.write_progress(lake.spark, storage.Progress(**{**vars(mark), "bronze_version": mark.bronze_version + 1000}))
    with pytest.raises(refine.RefineError, match="python -m lakehouse rebuild users"):
        lake.refine("users")
    storage.write_progress(lake.spark, mark)
