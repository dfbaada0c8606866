"""Replay in this process: what moves into the table, what stays, what a second run and a crash leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakehouse import platform_tables, tables
from lakehouse.contract import Expect, Severity
from lakehouse.lake import quarantine_counts, small_table
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.silver import quarantine, refine, replay
from lakehouse.silver.stored import StoredChanges
from tests.refusals import refused
from tests.unit.light_lake import LightLake
from tests.unit.records import user

USERS = tables.source("users")
# What the shop's declaration said before it was mended: gold members were refused.
STRICT = replace(
    USERS, expects=(*USERS.expects, Expect(name="is_no_gold", condition="tier <> 'gold'", doc="Refused.", severity=Severity.REFUSE))
)


@pytest.fixture
def lake(light_settings: Settings, tmp_path: Path) -> LightLake:
    return LightLake.at(light_settings, tmp_path)


def refine_strictly(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> refine.RefineResult:
    """A run of the time before the fix."""
    with monkeypatch.context() as patch:
        patch.setattr(tables, "source", lambda _: STRICT)
        return lake.refine("users")


def held(lake: LightLake, key: int) -> list[tuple[Any, ...]]:
    """Reason and whether it was replayed of each row that quarantine has of a user."""
    rows = lake.lake.read(platform_tables.QUARANTINE, ("key", "reason", "replayed_at"), {"source_table": ["users"]}).to_pylist()
    own = [row for row in rows if row["key"] == f'{{"user_id": {key}}}'.encode()]
    return sorted((row["reason"], row["replayed_at"] is not None) for row in own)


def rewrite(lake: LightLake, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Give every row of quarantine other values."""
    rows = small_table.Rows(lake.lake, platform_tables.QUARANTINE, {"source_table": ["users"]})
    rows.write({id(row): change(row) for row in rows.rows})


def versions(lake: LightLake) -> list[int]:
    return [lake.version("users"), lake.lake.snapshot(platform_tables.QUARANTINE).version]


def test_what_can_be_read_moves_into_the_table_and_what_cannot_stays(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")), ("u", 20, user(1, "gold")), ("u", 20, {"user_id": 2, "birth_on": "no day"}))
    assert refine_strictly(lake, monkeypatch).quarantined == 2
    assert lake.history(1) == [("bronze", 10, None, True)]
    result = replay.run(lake.lake, "users")
    assert (result.replayed, result.waiting, result.changed) == (1, 1, True)
    assert lake.history(1) == [("bronze", 10, 20, False), ("gold", 20, None, False)]
    assert (held(lake, 1), held(lake, 2)) == ([("refused", True)], [("bad_value", False)])
    written = versions(lake)
    again = replay.run(lake.lake, "users")
    assert (again.replayed, again.waiting, again.changed) == (0, 1, False)
    assert versions(lake) == written
    assert not lake.refine("users").changed


def test_a_record_that_came_in_otherwise_ends_as_one(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(11, "gold")))
    refine_strictly(lake, monkeypatch)
    # The capture sends it again, with another offset, after the fix.
    lake.land("users", ("c", 10, user(11, "gold")), ("u", 20, user(11, "silver")))
    lake.refine("users")
    before = lake.history(11)
    assert before == [("gold", 10, 20, False), ("silver", 20, None, False)]
    assert replay.run(lake.lake, "users").replayed == 1
    assert lake.history(11) == before
    assert len(lake.stored("users")) == 2


def test_a_record_older_than_what_is_stored_rewrites_history_as_if_it_had_come_in_order(
    lake: LightLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.land("users", ("c", 10, user(21, "bronze")), ("u", 20, user(21, "gold")), ("u", 30, user(21, "silver")))
    refine_strictly(lake, monkeypatch)
    assert lake.history(21) == [("bronze", 10, 30, False), ("silver", 30, None, False)]
    replay.run(lake.lake, "users")
    assert lake.history(21) == [("bronze", 10, 20, False), ("gold", 20, 30, False), ("silver", 30, None, False)]


def test_a_key_stays_blocked_until_its_newest_waiting_change_is_replayed(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(31, "bronze")), ("u", 30, user(31, "gold")), ("u", 40, {"user_id": 31, "birth_on": "no day"}))
    refine_strictly(lake, monkeypatch)
    # The fix is there, the replay is not: a change in between must not unblock the key.
    lake.land("users", ("u", 20, user(31, "silver")))
    lake.refine("users")
    assert lake.history(31)[-1] == ("silver", 20, None, True)
    assert replay.run(lake.lake, "users", "refused").replayed == 1
    assert lake.history(31)[-1] == ("gold", 30, None, True), "the change at 40 still waits"


@pytest.mark.parametrize("write", ["replace", "settle"])
def test_a_crash_before_any_write_ends_like_a_clean_replay(lake: LightLake, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
    key = {"replace": 41, "settle": 42}[write]
    lake.land("users", ("c", 10, user(key, "gold")))
    refine_strictly(lake, monkeypatch)
    with monkeypatch.context() as patch:

        def crash(*_: Any) -> None:
            raise KeyboardInterrupt("kill -9")

        patch.setattr(quarantine.Held if write == "settle" else StoredChanges, write, crash)
        with pytest.raises(KeyboardInterrupt):
            replay.run(lake.lake, "users")
    assert held(lake, key) == [("refused", False)]
    # A run of refine between the crash and the repetition finds nothing to block or to write.
    assert not lake.refine("users").changed
    before = lake.version("users")
    assert replay.run(lake.lake, "users").changed is (write == "replace")
    assert (lake.version("users") == before) is (write == "settle")
    assert lake.history(key) == [("gold", 10, None, False)]
    assert held(lake, key) == [("refused", True)]


def test_another_reason_takes_the_place_of_the_old_one_and_no_row_is_left_twice(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    # Refused and, since then, met again by a rebuild that could not read it: two rows of one record.
    lake.land("users", ("c", 10, user(51, "gold") | {"birth_on": "2001-01-01"}))
    refine_strictly(lake, monkeypatch)
    rewrite(lake, lambda row: {**row, "reason": "empty", "detail": "as an older release had it"})
    twin = {**lake.lake.read(platform_tables.QUARANTINE).to_pylist()[0], "reason": "no_op"}
    lake.add(platform_tables.QUARANTINE, {"source_table": twin.pop("source_table")}, twin)
    assert held(lake, 51) == [("empty", False), ("no_op", False)]
    with monkeypatch.context() as patch:
        patch.setattr(tables, "source", lambda _: STRICT)
        assert replay.run(lake.lake, "users").waiting == 1
    assert held(lake, 51) == [("refused", False)]


def test_a_record_that_bronze_no_longer_has_is_replayed_from_quarantine(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(71, "gold")))
    refine_strictly(lake, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("lakehouse.silver.bronze.at", lambda *_: [])
        assert replay.run(lake.lake, "users").replayed == 1
    assert lake.history(71) == [("gold", 10, None, False)]


def test_a_conflicting_duplicate_is_neither_counted_nor_replayed(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(81, "gold")))
    refine_strictly(lake, monkeypatch)
    strict = replace(lake.settings, quarantine_alert=0)
    with refused("1 records of users", "python -m lakehouse replay users"):
        quarantine_counts.check(Lake(strict))
    assert quarantine_counts.check(lake.lake) == 1
    rewrite(lake, lambda row: {**row, "reason": "conflicting_duplicate"})
    assert quarantine_counts.check(Lake(strict)) == 0
    assert replay.run(lake.lake, "users").replayed == 0
    assert (lake.history(81), held(lake, 81)) == ([], [("conflicting_duplicate", False)])


def test_a_refine_that_commits_first_has_replay_begin_again(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(91, "gold")))
    refine_strictly(lake, monkeypatch)
    lake.land("users", ("u", 20, user(91, "silver")))
    write = StoredChanges.replace

    def overtaken(*arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(StoredChanges, "replace", write)
            lake.refine("users")
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StoredChanges, "replace", overtaken)
        assert replay.run(lake.lake, "users").replayed == 1
    assert lake.history(91) == [("gold", 10, 20, False), ("silver", 20, None, False)]
    assert held(lake, 91) == [("refused", True)]


def test_a_table_that_takes_no_changes_takes_none_from_a_replay(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(101, "gold")))
    refine_strictly(lake, monkeypatch)
    columns = tuple(replace(column, tracked=column.name != "tier") for column in USERS.columns)
    with monkeypatch.context() as patch:
        patch.setattr(tables, "source", lambda _: replace(USERS, columns=columns))
        with refused("silver.users", "`python -m lakehouse rebuild users`"):
            replay.run(lake.lake, "users")
    assert (lake.history(101), held(lake, 101)) == ([], [("refused", False)])


def test_another_record_at_the_place_of_one_that_waits_waits_too(lake: LightLake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 10, user(111, "gold")))
    refine_strictly(lake, monkeypatch)
    lake.offset -= 1  # as of a topic that was made anew
    lake.land("users", ("c", 20, user(112, "gold")))
    refine_strictly(lake, monkeypatch)
    assert (held(lake, 111), held(lake, 112)) == ([("refused", False)], [("refused", False)])
    assert replay.run(lake.lake, "users").replayed == 2
    assert (lake.history(111), lake.history(112)) == ([("gold", 10, None, False)], [("gold", 20, None, False)])


def test_what_waits_of_an_earlier_source_blocks_nothing_of_this_one(lake: LightLake) -> None:
    lake.land("users", ("c", 5000, {"user_id": 121, "birth_on": "no day"}), ("c", 10, user(122, "bronze")))
    lake.refine("users")
    lake.accept_source()
    lake.land("users", ("c", 100, user(121, "gold")), ("c", 100, user(122, "gold")), ("u", 200, {"user_id": 122, "birth_on": "no day"}))
    lake.refine("users")
    blocked = [lake.history(key)[-1] for key in (121, 122)]
    assert blocked == [("gold", 100, None, False), ("gold", 100, None, True)]
