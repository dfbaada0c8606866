"""The stages of a catch-up: what counts as lagging, and how it is reported."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.errors import NotReadyError
from lakehouse.health import catch_up
from lakehouse.lake.state import NO_CHECKPOINT, TableState
from lakehouse.settings import Settings
from tests.refusals import refused

OFFSETS = 'v1\n{"batchWatermarkMs":0}\n{"ebap.cdc.users":{"0":5,"1":%d}}\n'


@pytest.fixture
def checkpointed(tmp_path):
    """A checkpoint with batch 9 committed and batch 10 only planned; Hadoop's checksum files lie between."""
    settings = Settings(home=str(tmp_path))
    for folder, names in (("offsets", ("9", "10", ".10.crc")), ("commits", ("8", "9", ".9.crc"))):
        (tmp_path / "lake" / "_checkpoints" / "land" / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / "lake" / "_checkpoints" / "land" / folder / name).write_text(
                OFFSETS % (int(name.replace(".crc", "").lstrip(".")) * 10)
            )
    return settings


def at(version, name="silver.users"):
    return TableState(table_name=name, bronze_version=version)


def test_only_a_committed_batch_counts_as_landed(checkpointed):
    assert catch_up.landed_offsets(checkpointed) == {("ebap.cdc.users", 0): 5, ("ebap.cdc.users", 1): 90}


def test_before_lands_first_batch_nothing_has_landed(tmp_path):
    assert catch_up.landed_offsets(Settings(home=str(tmp_path))) == {}


def test_landing_lags_by_the_records_that_are_missing():
    ends = {("ebap.cdc.users", 0): 5, ("ebap.cdc.orders", 2): 3}
    assert catch_up._landing_lag(ends, {("ebap.cdc.users", 0): 6, ("ebap.cdc.orders", 2): 3}) is None
    assert catch_up._landing_lag(ends, {("ebap.cdc.users", 0): 1}) == "land has not committed 7 records of ebap.cdc.orders, ebap.cdc.users"


def test_the_slot_lags_until_it_has_confirmed_the_mark():
    assert catch_up._slot_lag("0/20", ("0/20", True, 0)) is None
    assert catch_up._slot_lag("0/20", ("0/10", False, 16)) == "slot ebap (inactive) has confirmed 0/10, 16 bytes before 0/20"
    assert "no replication slot ebap" in (catch_up._slot_lag("0/20", None) or "")


def test_refining_lags_where_one_table_has_not_consumed_the_version():
    assert catch_up._refining_lag(7, {"silver.users": at(7), "silver.orders": at(9)}) is None
    said = catch_up._refining_lag(7, {"silver.users": at(6), "silver.orders": at(NO_CHECKPOINT)})
    assert said == "of bronze version 7, silver.users is at 6, silver.orders is at -1"


def test_events_lag_until_they_are_complete_to_after_the_instant():
    marked = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
    stored = TableState(table_name="iceberg.ebap.events", complete_to=marked + timedelta(seconds=1))
    assert catch_up._storing_lag(marked, {stored.table_name: stored}) is None
    behind = replace(stored, complete_to=marked)
    assert catch_up._storing_lag(marked, {stored.table_name: behind}) == f"iceberg.ebap.events is complete to {marked}"
    stopped = replace(behind, error="S3 does not answer")
    assert catch_up._storing_lag(marked, {stored.table_name: stopped}) == "iceberg.ebap.events: S3 does not answer"


def test_without_the_live_half_there_are_no_events_to_wait_for(tmp_path):
    with refused("the live half does not run here", cure="make live"):
        catch_up.events(Settings(home=str(tmp_path), live="no"), 1)


def test_a_stage_that_never_gets_there_is_named_with_what_it_said_last():
    passage = catch_up.CatchUp(settings=Settings(), give_up_at=time.monotonic())
    with refused("landed", "3 records", kind=NotReadyError):
        passage.reach("landed", lambda: 3, lambda seen: f"{seen} records")


def test_a_part_that_is_away_is_waited_for():
    answers = iter([ConnectionRefusedError("no"), 1])

    def look():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert catch_up.CatchUp(settings=Settings(), give_up_at=time.monotonic() + 30).reach("sent", look) == 1
