"""Compaction on real Delta tables: what it joins, what it keeps for whom, and that nobody beside it notices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import compact
import refine
from lakehouse import catalog, files, ledger, storage, tables
from tests.conftest import empty_lake
from tests.unit.lake import Lake, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

USERS = "silver.users_changes"


@pytest.fixture
def lake(spark: SparkSession, lake_settings: Settings, tmp_path: Path) -> Lake:
    return Lake(spark, empty_lake(spark, lake_settings, tmp_path))


@pytest.fixture
def busy(lake: Lake) -> Lake:
    """A lake after four landings of one user, refined twice."""
    for number in range(1, 5):
        lake.land("users", ("c" if number == 1 else "u", 10 * number, user(1, f"tier {number}")))
        if number % 2 == 0:
            lake.refine("users")
    return lake


def run(lake: Lake, name: str, *, is_vacuum_due: bool | None = None) -> compact.CompactResult:
    return compact.run(lake.spark, lake.settings, name, is_vacuum_due)


def test_small_files_become_one_and_the_report_says_so(busy: Lake) -> None:
    before = busy.history("users", 1)
    result = run(busy, storage.BRONZE)
    assert (result.before.count, result.before.small) == (4, 4)
    assert (result.after.count, result.after.small) == (1, 1)
    assert result.changed
    report = storage.compaction(busy.spark, storage.BRONZE)
    assert report is not None
    assert (report.files_before, report.files_after, report.bytes_after) == (4, 1, result.after.bytes)
    run(busy, USERS)
    assert busy.history("users", 1) == before


def test_a_second_run_finds_nothing_to_do(busy: Lake) -> None:
    run(busy, storage.BRONZE)
    version = storage.bronze_version(busy.spark)
    assert not run(busy, storage.BRONZE).changed
    assert storage.bronze_version(busy.spark) == version


def test_compaction_is_no_news_to_refine(busy: Lake) -> None:
    run(busy, storage.BRONZE)
    assert busy.refine("users").records == 0
    busy.land("users", ("u", 70, user(1, "tier 7")))
    run(busy, storage.BRONZE)
    assert busy.refine("users").records == 1
    assert busy.history("users", 1)[-1] == ("tier 7", 70, None, False)


def test_a_refine_that_read_before_a_compaction_still_applies(busy: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    busy.land("users", ("u", 70, user(1, "tier 7")))
    merge = storage.merge_silver

    def with_compaction_first(*arguments: Any) -> None:
        run(busy, USERS)
        merge(*arguments)

    monkeypatch.setattr(storage, "merge_silver", with_compaction_first)
    assert busy.refine("users").changed
    assert busy.history("users", 1)[-1] == ("tier 7", 70, None, False)


def test_what_a_mark_has_yet_to_read_outlives_the_vacuum(busy: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log behind a mark of ten days ago needs files that a compaction replaced: 168 hours would delete them."""
    mark = storage.progress(busy.spark, "users")
    assert mark is not None
    busy.land("users", ("u", 70, user(1, "tier 7")))
    storage.write_progress(busy.spark, replace(mark, refined_at=datetime.now(UTC) - timedelta(days=10)))
    asked = []
    monkeypatch.setattr(files, "delete_unneeded", lambda spark, name, keep_h: asked.append(keep_h))
    run(busy, storage.BRONZE, is_vacuum_due=True)
    assert asked[0] >= 241
    assert busy.refine("users").records == 1
    run(busy, storage.BRONZE, is_vacuum_due=True)
    assert asked[1] == ledger.CHANGES.keep_h


def test_a_vacuum_too_short_breaks_the_mark_loudly(busy: Lake) -> None:
    """The negative control: what the retention above is for. The table's refusal names its cure, and the cure works."""
    busy.land("users", ("u", 70, user(1, "tier 7")))
    run(busy, storage.BRONZE)
    busy.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    files.delete_unneeded(busy.spark, storage.BRONZE, 0)
    busy.spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")
    with pytest.raises(refine.RefineError, match="rebuild users"):
        busy.refine("users")
    refine.rebuild(busy.spark, busy.settings, "users")
    assert busy.history("users", 1)[-1] == ("tier 7", 70, None, False)


def test_files_are_deleted_once_a_day(busy: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(files, "delete_unneeded", lambda spark, name, keep_h: asked.append(name))
    assert [run(busy, USERS).kept_h is not None for _ in range(2)] == [True, False]
    last = storage.compaction(busy.spark, USERS)
    assert last is not None and last.vacuumed_at is not None
    storage.write_compaction(busy.spark, replace(last, vacuumed_at=last.vacuumed_at - timedelta(hours=23, minutes=1)))
    assert run(busy, USERS).kept_h == 168
    assert asked == [USERS, USERS]


def test_it_runs_beside_land_refine_readers_and_itself(busy: Lake) -> None:
    """A dozen landings, each refined, while two compactions go round and a reader asks: nothing is lost, doubled or refused."""
    wanted = 12

    def compacting() -> int:
        done = 0
        while not writing.done():
            for name in (storage.BRONZE, USERS):
                try:
                    run(busy, name)
                except compact.CompactError:
                    continue
                done += 1
        return done

    def reading() -> list[int]:
        seen = []
        while not writing.done():
            seen.append(busy.spark.table("silver.users_history").where("user_id = 2").count())
        return seen

    def write() -> None:
        for number in range(wanted):
            busy.land("users", ("c" if number == 0 else "u", 1000 + number, user(2, f"tier {number}")))
            for attempt in range(3):
                try:
                    busy.refine("users")
                    break
                except refine.RefineError as error:
                    assert "run it again" in str(error), error
                    assert attempt < 2

    with ThreadPoolExecutor(4) as pool:
        writing = pool.submit(write)
        others = [pool.submit(compacting), pool.submit(compacting)]
        reader = pool.submit(reading)
        writing.result()
        assert sum(other.result() for other in others) > 0
        seen = reader.result()
    assert seen == sorted(seen)
    assert [tier for tier, *_ in busy.history("users", 2)] == [f"tier {number}" for number in range(wanted)]
    assert busy.spark.table(storage.BRONZE).count() == 4 + wanted


class TestBronzeByAge:
    @pytest.fixture
    def aged(self, busy: Lake) -> Lake:
        """The same lake, to keep three days; what it holds landed on 1 January."""
        kept = Lake(busy.spark, replace(busy.settings, bronze_keep_days=3))
        kept.offset = busy.offset
        catalog.bring_up(kept.spark, kept.settings)
        return kept

    def test_nothing_goes_that_a_table_has_not_refined(self, aged: Lake) -> None:
        assert run(aged, storage.BRONZE).first_landed_on is None
        assert aged.spark.table(storage.BRONZE).count() == 4

    def test_old_days_go_and_a_rebuild_keeps_what_they_said(self, aged: Lake, capsys: pytest.CaptureFixture[str]) -> None:
        for table in tables.SOURCES:
            aged.refine(table.name)
        assert run(aged, storage.BRONZE).first_landed_on is not None
        assert aged.spark.table(storage.BRONZE).count() == 0
        assert aged.refine("users").records == 0
        before = aged.history("users", 1)
        aged.land("users", ("u", 70, user(1, "tier 7")))
        refine.rebuild(aged.spark, aged.settings, "users")
        assert aged.history("users", 1) == [*before[:-1], ("tier 4", 40, 70, False), ("tier 7", 70, None, False)]
        assert "the 4 stored changes older than its first record stay as they are" in capsys.readouterr().out

    def test_without_the_setting_bronze_keeps_all(self, busy: Lake) -> None:
        for table in tables.SOURCES:
            busy.refine(table.name)
        assert run(busy, storage.BRONZE).first_landed_on is None
        assert busy.spark.table(storage.BRONZE).count() == 4


def test_a_table_there_is_not_is_named_with_those_there_are(lake: Lake) -> None:
    with pytest.raises(KeyError, match=r"there is no stored table .silver\.users.: the stored ones are bronze\.changes"):
        run(lake, "silver.users")
