"""Replay on real Delta tables: what moves into the table, what stays, what a second run and a crash leave."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

import rebuild
import refine
import replay
from lakehouse import batches, quarantine_store, storage, tables, waiting
from lakehouse.contract import Expect, Severity
from lakehouse.settings import Settings
from tests.conftest import empty_lake
from tests.unit.lake import Lake, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

USERS = tables.source("users")
# What the shop's declaration said before it was mended: gold members were refused.
STRICT = replace(
    USERS, expects=(*USERS.expects, Expect(name="is_no_gold", condition="tier <> 'gold'", doc="Refused.", severity=Severity.REFUSE))
)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(spark, empty_lake(spark, lake_settings, tmp_path_factory.mktemp("replay")))


def refine_strictly(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> refine.RefineResult:
    """A run of the time before the fix."""
    with monkeypatch.context() as patch:
        patch.setattr(tables, "source", lambda _: STRICT)
        return lake.refine("users")


def held(lake: Lake, key: int) -> list[tuple[Any, ...]]:
    """Reason and whether it was replayed of each row that quarantine has of a user."""
    rows = storage.read_quarantine(lake.spark, USERS).where(f"CAST(key AS STRING) = '{{\"user_id\": {key}}}'").orderBy("reason")
    return [(row["reason"], row["replayed_at"] is not None) for row in rows.collect()]


def settle_all(lake: Lake) -> None:
    """Leave nothing waiting for the next test."""
    lake.spark.sql("DELETE FROM silver.quarantine")


def test_what_can_be_read_moves_into_the_table_and_what_cannot_stays(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")), ("u", 20, user(1, "gold")), ("u", 20, {"user_id": 2, "birth_on": "no day"}))
    assert refine_strictly(lake, monkeypatch).quarantined == 2
    assert lake.history("users", 1) == [("bronze", 10, None, True)]
    result = replay.run(lake.spark, lake.settings, "users")
    assert (result.replayed, result.waiting, result.changed) == (1, 1, True)
    assert lake.history("users", 1) == [("bronze", 10, 20, False), ("gold", 20, None, False)]
    assert (held(lake, 1), held(lake, 2)) == ([("refused", True)], [("bad_value", False)])
    written = [lake.version("users"), storage.version(lake.spark, "silver.quarantine")]
    again = replay.run(lake.spark, lake.settings, "users")
    assert (again.replayed, again.waiting, again.changed) == (0, 1, False)
    assert [lake.version("users"), storage.version(lake.spark, "silver.quarantine")] == written
    assert not lake.refine("users").changed
    settle_all(lake)


def test_a_record_that_came_in_otherwise_ends_as_one(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(11, "gold")))
    refine_strictly(lake, monkeypatch)
    # The capture sends it again, with another offset, after the fix.
    lake.land("users", ("c", 10, user(11, "gold")), ("u", 20, user(11, "silver")))
    lake.refine("users")
    before = lake.history("users", 11)
    assert before == [("gold", 10, 20, False), ("silver", 20, None, False)]
    assert replay.run(lake.spark, lake.settings, "users").replayed == 1
    assert lake.history("users", 11) == before
    assert storage.read_silver_changes(lake.spark, USERS).where("user_id = 11").count() == 2
    settle_all(lake)


def test_a_record_older_than_what_is_stored_rewrites_history_as_if_it_had_come_in_order(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.land("users", ("c", 10, user(21, "bronze")), ("u", 20, user(21, "gold")), ("u", 30, user(21, "silver")))
    refine_strictly(lake, monkeypatch)
    assert lake.history("users", 21) == [("bronze", 10, 30, False), ("silver", 30, None, False)]
    replay.run(lake.spark, lake.settings, "users")
    assert lake.history("users", 21) == [("bronze", 10, 20, False), ("gold", 20, 30, False), ("silver", 30, None, False)]
    settle_all(lake)


def test_a_key_stays_blocked_until_its_newest_waiting_change_is_replayed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(31, "bronze")), ("u", 30, user(31, "gold")), ("u", 40, {"user_id": 31, "birth_on": "no day"}))
    refine_strictly(lake, monkeypatch)
    # The fix is there, the replay is not: a change in between must not unblock the key.
    lake.land("users", ("u", 20, user(31, "silver")))
    lake.refine("users")
    assert lake.history("users", 31)[-1] == ("silver", 20, None, True)
    assert replay.run(lake.spark, lake.settings, "users", "refused").replayed == 1
    assert lake.history("users", 31)[-1] == ("gold", 30, None, True), "the change at 40 still waits"
    settle_all(lake)


@pytest.mark.parametrize("write", ["merge_silver", "settle"])
def test_a_crash_before_any_write_ends_like_a_clean_replay(lake: Lake, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
    key = {"merge_silver": 41, "settle": 42}[write]
    lake.land("users", ("c", 10, user(key, "gold")))
    refine_strictly(lake, monkeypatch)
    with monkeypatch.context() as patch:

        def crash(*_: Any) -> None:
            raise KeyboardInterrupt("kill -9")

        patch.setattr(quarantine_store if write == "settle" else storage, write, crash)
        with pytest.raises(KeyboardInterrupt):
            replay.run(lake.spark, lake.settings, "users")
    assert held(lake, key) == [("refused", False)]
    # A run of refine between the crash and the repetition finds nothing to block or to write.
    assert not lake.refine("users").changed
    before = lake.version("users")
    assert replay.run(lake.spark, lake.settings, "users").changed is (write == "merge_silver")
    assert (lake.version("users") == before) is (write == "settle")
    assert lake.history("users", key) == [("gold", 10, None, False)]
    assert held(lake, key) == [("refused", True)]
    settle_all(lake)


def test_another_reason_takes_the_place_of_the_old_one_and_no_row_is_left_twice(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    # Refused and, since then, met again by a rebuild that could not read it: two rows of one record.
    lake.land("users", ("c", 10, user(51, "gold") | {"birth_on": "2001-01-01"}))
    refine_strictly(lake, monkeypatch)
    lake.spark.sql("UPDATE silver.quarantine SET reason = 'empty', detail = 'as an older release had it'")
    twin = lake.spark.table("silver.quarantine").withColumn("reason", F.lit("no_op")).localCheckpoint()
    twin.write.format("delta").mode("append").insertInto("silver.quarantine")
    assert held(lake, 51) == [("empty", False), ("no_op", False)]
    with monkeypatch.context() as patch:
        patch.setattr(tables, "source", lambda _: STRICT)
        assert replay.run(lake.spark, lake.settings, "users").waiting == 1
    assert held(lake, 51) == [("refused", False)]
    settle_all(lake)


def test_what_a_later_rebuild_cannot_read_waits_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(61, "gold")))
    refine_strictly(lake, monkeypatch)
    replay.run(lake.spark, lake.settings, "users")
    assert held(lake, 61) == [("refused", True)]
    with monkeypatch.context() as patch:
        patch.setattr(tables, "source", lambda _: STRICT)
        rebuild.run(lake.spark, lake.settings, "users")
    assert (lake.history("users", 61), held(lake, 61)) == ([], [("refused", False)])
    rebuild.run(lake.spark, lake.settings, "users")
    settle_all(lake)


def test_a_record_that_bronze_no_longer_has_is_replayed_from_quarantine(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(71, "gold")))
    refine_strictly(lake, monkeypatch)
    with monkeypatch.context() as patch:
        empty = storage.read_bronze(lake.spark, storage.bronze_version(lake.spark)).limit(0)
        patch.setattr(storage, "read_bronze", lambda *_: empty)
        assert replay.run(lake.spark, lake.settings, "users").replayed == 1
    assert lake.history("users", 71) == [("gold", 10, None, False)]
    settle_all(lake)


def test_a_conflicting_duplicate_is_neither_counted_nor_replayed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(81, "gold")))
    refine_strictly(lake, monkeypatch)
    with pytest.raises(waiting.WaitingError, match="1 records of users wait"):
        waiting.check(lake.spark, replace(lake.settings, quarantine_alert=0))
    assert waiting.check(lake.spark, lake.settings) == 1
    lake.spark.sql("UPDATE silver.quarantine SET reason = 'conflicting_duplicate'")
    assert waiting.check(lake.spark, replace(lake.settings, quarantine_alert=0)) == 0
    assert replay.run(lake.spark, lake.settings, "users").replayed == 0
    assert (lake.history("users", 81), held(lake, 81)) == ([], [("conflicting_duplicate", False)])
    settle_all(lake)


def test_a_refine_that_commits_first_has_replay_say_run_it_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(91, "gold")))
    refine_strictly(lake, monkeypatch)
    lake.land("users", ("u", 20, user(91, "silver")))
    merge = storage.merge_silver

    def overtaken(*arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(storage, "merge_silver", merge)
            lake.refine("users")
        merge(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "merge_silver", overtaken)
        with pytest.raises(batches.RefineError, match="run it again"):
            replay.run(lake.spark, lake.settings, "users")
    assert replay.run(lake.spark, lake.settings, "users").replayed == 1
    assert lake.history("users", 91) == [("gold", 10, 20, False), ("silver", 20, None, False)]
    settle_all(lake)


def test_a_table_that_takes_no_changes_takes_none_from_a_replay(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(101, "gold")))
    refine_strictly(lake, monkeypatch)
    columns = tuple(replace(column, tracked=column.name != "tier") for column in USERS.columns)
    with monkeypatch.context() as patch:
        patch.setattr(tables, "source", lambda _: replace(USERS, columns=columns))
        with pytest.raises(batches.RefineError, match="users was made by another declaration"):
            replay.run(lake.spark, lake.settings, "users")
    assert (lake.history("users", 101), held(lake, 101)) == ([], [("refused", False)])
    settle_all(lake)


def test_another_record_at_the_place_of_one_that_waits_waits_too(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(111, "gold")))
    refine_strictly(lake, monkeypatch)
    lake.offset -= 1  # as of a topic that was made anew
    lake.land("users", ("c", 20, user(112, "gold")))
    refine_strictly(lake, monkeypatch)
    assert (held(lake, 111), held(lake, 112)) == ([("refused", False)], [("refused", False)])
    assert replay.run(lake.spark, lake.settings, "users").replayed == 2
    assert (lake.history("users", 111), lake.history("users", 112)) == ([("gold", 10, None, False)], [("gold", 20, None, False)])
    settle_all(lake)


def test_what_waits_of_an_earlier_source_blocks_nothing_of_this_one(lake: Lake) -> None:
    """The last of the module: the lake is of a second Postgres from here on."""
    lake.land("users", ("c", 5000, {"user_id": 121, "birth_on": "no day"}), ("c", 10, user(122, "bronze")))
    lake.refine("users")
    known = {"ebap.epoch": "2"} | {f"ebap.{what}.{number}": f"{what} {number}" for what in ("source", "placeholder") for number in (1, 2)}
    listed = ", ".join(f"'{name}' = '{value}'" for name, value in known.items())
    lake.spark.sql(f"ALTER TABLE {storage.BRONZE} SET TBLPROPERTIES ({listed})")
    lake.epoch = 2
    lake.land("users", ("c", 100, user(121, "gold")), ("c", 100, user(122, "gold")), ("u", 200, {"user_id": 122, "birth_on": "no day"}))
    lake.refine("users")
    blocked = [lake.history("users", key)[-1] for key in (121, 122)]
    assert blocked == [("gold", 100, None, False), ("gold", 100, None, True)]
    rebuild.run(lake.spark, lake.settings, "users")
    assert [lake.history("users", key)[-1] for key in (121, 122)] == blocked
