"""What land reports of a batch, and how it stops."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse import landing
from lakehouse.settings import Settings

TOPIC = "ebap.cdc.users"


def progress(batch: int, records: int = 10) -> dict[str, Any]:
    source = {"endOffset": json.dumps({TOPIC: {"0": 7, "1": 5}}), "latestOffset": json.dumps({TOPIC: {"0": 9, "1": 5, "2": 4}})}
    began = {"timestamp": "2026-01-01T00:00:00.000Z", "batchDuration": 2000}
    return {"batchId": batch, "numInputRows": records, "processedRowsPerSecond": 5.0, "sources": [source], **began}


class Query:
    """A streaming query that is between two batches once it was asked three times."""

    def __init__(self, batches: list[dict[str, Any]]) -> None:
        self.recentProgress = batches
        self.asked = 0
        self.is_stopped = False

    @property
    def lastProgress(self) -> dict[str, Any]:  # noqa: N802  # Spark's name
        return self.recentProgress[-1]

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
    told = landing.batch_report({**progress(3), **observed}, datetime(2026, 1, 1, 0, 0, 2, tzinfo=UTC))
    # Two records wait in partition 0, four in partition 2, which the batch did not know.
    assert told["lag_records"] == 6
    assert told["lag_s"] == 3.5
    assert (told["batch"], told["records"], told["duration_ms"]) == (3, 10, 2000)


def test_a_stop_request_is_obeyed_between_two_batches(tmp_path: Path, monkeypatch: Any) -> None:
    settings = Settings(home=str(tmp_path))
    query = Query([progress(1), progress(2, records=0), progress(3)])
    # The request of an earlier stop must not end this run: it is removed at the start, and comes again once a batch was reported.
    monkeypatch.setattr(landing, "_report_batches", _then_request(settings, landing._report_batches))
    landing.run_until_stopped(query, settings)  # type: ignore[arg-type]
    assert query.is_stopped
    assert query.asked == 3
    assert not landing.stop_file(settings).exists()
    assert json.loads(landing.report_file(settings).read_text())["batch"] == 3


def _then_request(settings: Settings, report: Any) -> Any:
    def reported(*arguments: Any) -> Any:
        made = report(*arguments)
        landing.stop_file(settings).touch()
        return made

    return reported
