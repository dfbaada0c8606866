"""What land reports of a batch, and how it stops."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.settings import Settings
from lakehouse.spark import streaming

TOPIC = "ebap.cdc.users"


def progress(batch: int, records: int = 10, latest: int = 9) -> dict[str, Any]:
    """Of a batch that ends at 7 and 5 of two partitions, where the first ends at `latest`, and a third has four records."""
    source = {"endOffset": json.dumps({TOPIC: {"0": 7, "1": 5}}), "latestOffset": json.dumps({TOPIC: {"0": latest, "1": 5, "2": 4}})}
    began = {"timestamp": "2026-01-01T00:00:00.000Z", "batchDuration": 2000}
    return {"batchId": batch, "numInputRows": records, "processedRowsPerSecond": 5.0, "sources": [source], **began}


class Query:
    """A streaming query that is between two batches once it was asked three times; one that ends by itself is over when it is looked at."""

    def __init__(self, batches: list[dict[str, Any]], ends: bool = False) -> None:
        self.recentProgress = batches
        self.asked = 0
        self.is_stopped = ends

    @property
    def lastProgress(self) -> dict[str, Any]:  # noqa: N802  # Spark's name
        return self.recentProgress[-1]

    @property
    def isActive(self) -> bool:  # noqa: N802  # Spark's name
        return not self.is_stopped

    @property
    def status(self) -> dict[str, bool]:
        self.asked += 1
        return {"isTriggerActive": self.asked < 3}

    def awaitTermination(self, timeout: float) -> bool:  # noqa: N802  # Spark's name
        return self.is_stopped

    def stop(self) -> None:
        self.is_stopped = True


def test_a_batch_tells_how_many_records_and_seconds_it_is_behind() -> None:
    observed = {"observedMetrics": {"landed": {"oldest": "2025-12-31T23:59:58.500+00:00"}}}
    told = streaming.batch_report({**progress(3), **observed}, datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC))
    # Two records wait in partition 0, four in partition 2, which the batch did not know.
    assert told["lag_records"] == 6
    assert told["lag_s"] == 3.5
    assert (told["batch"], told["records"], told["duration_ms"]) == (3, 10, 2000)


def test_a_stop_request_is_obeyed_between_two_batches(tmp_path: Path, monkeypatch: Any) -> None:
    settings = Settings(home=str(tmp_path))
    query = Query([progress(1), progress(2, records=0), progress(3)])
    # The request of an earlier stop must not end this run: it is removed at the start, and comes again once a batch was reported.
    settings.control_dir.mkdir(parents=True)
    streaming.stop_file(settings, "land").touch()
    monkeypatch.setattr(streaming, "_report_batches", _then_request(settings, streaming._report_batches))
    streaming.run(lambda is_backlog: query, settings, "land")  # type: ignore[arg-type,return-value]
    assert query.is_stopped
    assert query.asked == 3
    assert not streaming.stop_file(settings, "land").exists()
    assert reported(settings)["batch"] == 3


def test_a_backlog_is_landed_by_a_query_of_its_own_and_small_batches_follow(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    behind = Query([progress(1), progress(2, latest=2 * streaming.LIGHT_RECORDS)])
    backlog = Query([progress(3, records=200_000)], ends=True)
    after = Query([progress(4)])
    started: list[bool] = []

    def start(is_backlog: bool) -> Any:
        started.append(is_backlog)
        return (behind, backlog, after)[len(started) - 1]

    streaming.run(start, settings, "land", meanwhile=lambda: streaming.stop_file(settings, "land").touch() if len(started) == 3 else None)
    assert started == [False, True, False]
    assert behind.is_stopped
    assert behind.asked == 3
    assert reported(settings)["batch"] == 4


def test_what_one_batch_can_take_is_no_backlog(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    settings.control_dir.mkdir()
    query = Query([progress(1, latest=streaming.LIGHT_RECORDS - 100)])
    looks = 0

    def stop_at_the_third() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            streaming.stop_file(settings, "land").touch()

    end = streaming.run_until_end(query, settings, "land", stop_at_the_third, streaming.LIGHT_RECORDS)  # type: ignore[arg-type]
    assert end is streaming.End.STOPPED


def test_a_first_look_that_finds_nothing_is_reported_and_a_later_one_is_not(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    settings.control_dir.mkdir()
    query = Query([progress(7, records=0)])
    at = streaming._report_batches(query, streaming.report_file(settings, "land"), streaming._NOTHING)  # type: ignore[arg-type]
    assert (reported(settings)["batch"], reported(settings)["records"]) == (7, 0)
    streaming.report_file(settings, "land").unlink()
    assert streaming._report_batches(query, streaming.report_file(settings, "land"), at) == at  # type: ignore[arg-type]
    assert not streaming.report_file(settings, "land").exists()
    query.recentProgress.append(progress(7))
    streaming._report_batches(query, streaming.report_file(settings, "land"), at)  # type: ignore[arg-type]
    assert (reported(settings)["batch"], reported(settings)["records"]) == (7, 10)


def test_a_batch_is_reported_that_ended_before_an_idle_look(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    settings.control_dir.mkdir()
    at = streaming._report_batches(Query([progress(1)]), streaming.report_file(settings, "land"), streaming._NOTHING)  # type: ignore[arg-type]
    streaming._report_batches(Query([progress(1), progress(2), progress(3, records=0)]), streaming.report_file(settings, "land"), at)  # type: ignore[arg-type]
    assert reported(settings)["batch"] == 2


def reported(settings: Settings) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(streaming.report_file(settings, "land").read_text())
    return made


def _then_request(settings: Settings, report: Any) -> Any:
    def reporting(*arguments: Any) -> Any:
        made = report(*arguments)
        streaming.stop_file(settings, "land").touch()
        return made

    return reporting
