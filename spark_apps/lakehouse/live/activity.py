"""The streaming app of the live half: the live lane as a query, the final lane in a thread beside it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from lakehouse import process, tables
from lakehouse.errors import exit_code_of
from lakehouse.lake.lake import Lake
from lakehouse.live import current, iceberg
from lakehouse.live.current import LiveLane
from lakehouse.live.final import FinalLane
from lakehouse.live.view import View
from lakehouse.spark import session, streaming
from lakehouse.transforms.live import windows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

APP = "activity"
_ROUND_S = 60
_RETRY_S = 10
_REFILLED = timedelta(hours=24)
_STOP_S = 30


def main() -> None:
    """Run until a stop request; exits with one line where the settings are wrong."""
    sys.exit(exit_code_of(f"{APP}:", _activity, failed=1))


def _activity() -> None:
    settings = process.begin()
    spark = session.classic(settings, APP)
    since_s = current.covered_since()
    lane = LiveLane(View(settings), since_s)
    beside = _Beside(spark, settings, lane)
    beside.start()
    try:
        streaming.begin(settings, APP)
        streaming.run_until_end(current.start(spark, settings, lane, since_s), settings, APP, lane.look)
    finally:
        beside.stop()


class _Beside:
    """The thread of the final lane; it is repeated after any failure, which stops nothing else."""

    def __init__(self, spark: SparkSession, settings: Settings, lane: LiveLane) -> None:
        self._spark, self._lake, self._lane = spark, Lake(settings), lane
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="final", daemon=True)
        self._has_tables = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its round; a round that is cut short is done again at the next start."""
        self._stopping.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        final = FinalLane(self._spark, self._lake)
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, min(due - time.monotonic(), 1.0))):
            if self._lane.has_lost_view():
                self._attempt(self._refill)
            if time.monotonic() >= due:
                has_succeeded = self._attempt(partial(self._round, final))
                due = time.monotonic() + (_ROUND_S if has_succeeded else _RETRY_S)

    def _round(self, final: FinalLane) -> None:
        self._ensure_tables()
        done = final.run()
        if done.complete_to:
            self._lane.settle(done.settled, windows.final_before(done.complete_to.timestamp()))

    def _refill(self) -> None:
        self._ensure_tables()
        since = (datetime.now(UTC) - _REFILLED).isoformat()
        name = tables.live("windows").full_name
        rows = self._spark.sql(f"SELECT * FROM {name} WHERE window_start >= TIMESTAMP '{since}'").collect()
        self._lane.refill([tuple(row) for row in rows])

    def _ensure_tables(self) -> None:
        if not self._has_tables:
            iceberg.create(self._spark)
            self._has_tables = True

    def _attempt(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:  # whatever it is, it is reported, and tried again
            message = _line(error)
            print(f"{APP}: the final lane failed, and tries again in {_RETRY_S} s: {message}", file=sys.stderr, flush=True)
            self._note(message)
            return False
        return True

    def _note(self, message: str) -> None:
        try:
            self._lake.states.stop(tables.live("events"), message)
        except Exception as error:  # Postgres may be what failed
            print(f"{APP}: its state could not be stored: {_line(error)}", file=sys.stderr, flush=True)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
