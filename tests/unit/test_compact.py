"""Compaction on real Delta tables: what it joins, what it keeps for whom, and that nobody beside it notices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import tables
from lakehouse.errors import ConflictError, EbapError
from lakehouse.lake import catalog, commits, compaction, ddl, files, maintenance, storage
from lakehouse.silver import rebuild
from tests.conftest import empty_lake
from tests.unit.lake import Lake, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

USERS = "silver.users_changes"
_KEYS = count(1)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(spark, empty_lake(spark, lake_settings, tmp_path_factory.mktemp("compact")))


@pytest.fixture
def key(lake: Lake) -> int:
    """A new user, landed in three small files and refined."""
    made = next(_KEYS)
    for number in range(1, 4):
        lake.land("users", ("c" if number == 1 else "u", 10 * number, user(made, f"tier {number}")))
    lake.refine("users")
    return made


def _recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables of which unneeded files are asked to be deleted, from now on; none is."""
    asked: list[str] = []

    def record(_: object, name: str) -> bool:
        asked.append(name)
        return True

    monkeypatch.setattr(files, "delete_unneeded", record)
    return asked


def run(lake: Lake, name: str, *, is_vacuum_due: bool | None = False) -> compaction.CompactResult:
    return compaction.run(lake.spark, lake.settings, name, is_vacuum_due)


def newest(lake: Lake, key: int) -> str:
    tier: str = lake.history("users", key)[-1][0]
    return tier


def test_small_files_become_one_and_the_report_says_so(lake: Lake, key: int) -> None:
    before = lake.history("users", key)
    result = run(lake, storage.BRONZE)
    assert (result.before.count, result.before.small) == (3, 3)
    assert (result.after.count, result.after.small) == (1, 1)
    assert (result.changed, result.first_landed_on) == (True, None)
    report = maintenance.compaction(lake.spark, storage.BRONZE)
    assert report is not None
    assert (report.files_before, report.files_after, report.bytes_after) == (3, 1, result.after.bytes)
    run(lake, USERS)
    assert lake.history("users", key) == before


def test_a_second_run_finds_nothing_to_do(lake: Lake, key: int) -> None:
    run(lake, storage.BRONZE)
    version = storage.bronze_version(lake.spark)
    assert not run(lake, storage.BRONZE).changed
    assert storage.bronze_version(lake.spark) == version


def test_compaction_is_no_news_to_refine(lake: Lake, key: int) -> None:
    run(lake, storage.BRONZE)
    assert lake.refine("users").records == 0
    lake.land("users", ("u", 70, user(key, "tier 7")))
    run(lake, storage.BRONZE)
    assert lake.refine("users").records == 1
    assert newest(lake, key) == "tier 7"


def test_a_log_that_holds_only_compactions_says_so_by_its_oldest(lake: Lake, key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run(lake, USERS)
    history = lake.spark.sql(f"DESCRIBE HISTORY {USERS}").collect()
    monkeypatch.setattr(commits, "MAINTENANCE_OPERATIONS", {row["operation"] for row in history})
    assert commits.content_version(lake.spark, USERS) == min(row["version"] for row in history)


def test_a_refine_that_read_before_a_compaction_still_applies(lake: Lake, key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("u", 70, user(key, "tier 7")))
    merge = storage.merge_silver

    def with_compaction_first(*arguments: Any) -> None:
        assert run(lake, USERS).changed
        merge(*arguments)

    monkeypatch.setattr(storage, "merge_silver", with_compaction_first)
    assert lake.refine("users").changed
    assert newest(lake, key) == "tier 7"


def test_no_file_is_deleted_while_a_mark_has_waited_for_longer_than_files_stay(
    lake: Lake, key: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a mark of ten days ago has yet to read may be in files that a compaction replaced eight days ago."""
    lake.land("users", ("u", 70, user(key, "tier 7")))
    lake.write_state("users", updated_at=datetime.now(UTC) - timedelta(days=10))
    asked = _recorded(monkeypatch)
    waiting = run(lake, storage.BRONZE, is_vacuum_due=True)
    assert waiting.waiting_since is not None
    assert (asked, waiting.has_vacuumed) == ([], False)
    assert lake.refine("users").records == 1
    assert run(lake, storage.BRONZE, is_vacuum_due=True).has_vacuumed
    assert asked == [storage.BRONZE]


def test_files_stay_as_long_as_the_declaration_says(lake: Lake) -> None:
    """Delta goes by the table's properties, whatever a VACUUM asks for; files and log go at the same age."""
    for table in ddl.stored_tables():
        properties = {row["key"]: row["value"] for row in lake.spark.sql(f"SHOW TBLPROPERTIES {table.full_name}").collect()}
        for name in ("delta.deletedFileRetentionDuration", "delta.logRetentionDuration"):
            assert properties[name] == f"interval {table.retention_h} hours", table.full_name


def test_files_are_deleted_once_a_day(lake: Lake, key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _recorded(monkeypatch)
    assert [run(lake, USERS, is_vacuum_due=None).has_vacuumed for _ in range(2)] == [True, False]
    last = maintenance.compaction(lake.spark, USERS)
    assert last is not None
    assert last.vacuumed_at is not None
    maintenance.write_compaction(lake.spark, replace(last, vacuumed_at=last.vacuumed_at - timedelta(hours=23, minutes=1)))
    assert run(lake, USERS, is_vacuum_due=None).has_vacuumed
    assert asked == [USERS, USERS]


@pytest.mark.long
def test_it_runs_beside_land_refine_readers_and_itself(lake: Lake) -> None:
    """Four landings, each refined, while two compactions go round and a reader asks: nothing is lost, doubled or refused."""
    wanted, key = 4, next(_KEYS)
    before = lake.spark.table(storage.BRONZE).count()

    def compacting() -> int:
        done = 0
        while not writing.done():
            for name in (storage.BRONZE, USERS):
                try:
                    done += run(lake, name).changed
                except ConflictError:
                    continue
        return done

    def reading() -> list[int]:
        seen = []
        while not writing.done():
            seen.append(lake.spark.table("silver.users_history").where(f"user_id = {key}").count())
        return seen

    def refine_users() -> None:
        for _ in range(3):
            try:
                lake.refine("users")
                return
            except ConflictError:
                continue
        raise AssertionError("a refine was overtaken three times")

    def write() -> None:
        for number in range(wanted):
            lake.land("users", ("c" if number == 0 else "u", 1000 + number, user(key, f"tier {number}")))
            refine_users()

    with ThreadPoolExecutor(4) as pool:
        writing = pool.submit(write)
        others = [pool.submit(compacting), pool.submit(compacting)]
        reader = pool.submit(reading)
        writing.result()
        assert sum(other.result() for other in others) > 0
        seen = reader.result()
    assert seen == sorted(seen)
    assert [tier for tier, *_ in lake.history("users", key)] == [f"tier {number}" for number in range(wanted)]
    assert lake.spark.table(storage.BRONZE).count() == before + wanted


def test_a_vacuum_too_short_breaks_the_mark_loudly(lake: Lake, key: int) -> None:
    """The negative control: what the retention is for. The table's refusal names its cure, and the cure works."""
    lake.land("users", ("u", 70, user(key, "tier 7")))
    run(lake, storage.BRONZE)
    lake.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    lake.spark.sql(f"VACUUM {storage.BRONZE} RETAIN 0 HOURS")
    lake.spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")
    with pytest.raises(EbapError) as caught:
        lake.refine("users")
    assert "`python -m lakehouse rebuild users`" in caught.value.cure
    rebuild.run(lake.spark, lake.settings, "users")
    assert newest(lake, key) == "tier 7"


def test_old_days_of_bronze_go_once_refined_and_a_rebuild_keeps_what_they_said(
    lake: Lake, key: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Lake(lake.spark, replace(lake.settings, bronze_keep_days=3))
    kept.offset = lake.offset
    catalog.bring_up(kept.spark, kept.settings)
    landed = kept.spark.table(storage.BRONZE).count()
    assert run(kept, storage.BRONZE).first_landed_on is None, "not every table has refined what landed on 1 January"
    assert kept.spark.table(storage.BRONZE).count() == landed
    for table in tables.SOURCES:
        kept.refine(table.name)
    remove, noted = files.remove_landed_before, []

    def seen(*arguments: Any) -> None:
        noted.append(maintenance.compaction(kept.spark, storage.BRONZE))
        remove(*arguments)

    monkeypatch.setattr(files, "remove_landed_before", seen)
    removed_to = run(kept, storage.BRONZE).first_landed_on
    assert [made and made.first_landed_on for made in noted] == [removed_to], "noted before it was done"
    assert removed_to is not None
    assert kept.spark.table(storage.BRONZE).count() == 0
    assert kept.refine("users").records == 0
    before, stored = kept.history("users", key), storage.read_silver_changes(kept.spark, tables.source("users")).count()
    kept.land("users", ("u", 2000, user(key, "tier 7")))
    rebuild.run(kept.spark, kept.settings, "users")
    assert kept.history("users", key) == [*before[:-1], ("tier 3", 30, 2000, False), ("tier 7", 2000, None, False)]
    assert f"the {stored} stored changes that it no longer holds are kept" in capsys.readouterr().out
    # A transaction that was open all the while lands with an older position than changes whose records are gone.
    rewritten = kept.history("users", key)
    kept.land("users", ("c", 5, user(key + 1000, "late")))
    rebuild.run(kept.spark, kept.settings, "users")
    assert kept.history("users", key) == rewritten
    assert kept.history("users", key + 1000) == [("late", 5, None, False)]


def test_a_table_there_is_not_is_named_with_those_there_are(lake: Lake) -> None:
    with pytest.raises(EbapError) as caught:
        run(lake, "silver.users")
    assert "silver.users" in caught.value.what and "bronze.changes" in caught.value.cure
