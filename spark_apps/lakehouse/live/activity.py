"""The streaming app of the live half: the live lane as a query, the final lane in a thread beside it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from lakehouse import process, tables
from lakehouse.errors import EbapError, exit_code_of
from lakehouse.lake.lake import Lake
from lakehouse.live import current
from lakehouse.live.current import LiveLane
from lakehouse.live.final import FinalLane
from lakehouse.live.view import View
from lakehouse.spark import session, streaming

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

APP = "activity"
T = TypeVar("T")
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
        self._lake, self._lane = Lake(settings), lane
        self._final = FinalLane(spark, self._lake, lane.settle)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="final", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its round; a round that is cut short is done again at the next start."""
        self._stopping.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        due = refill_due = time.monotonic()
        while not self._stopping.wait(1.0):
            if self._lane.has_lost_view() and time.monotonic() >= refill_due:
                self._attempt(self._refill)
                refill_due = time.monotonic() + _RETRY_S
            if time.monotonic() >= due:
                due = time.monotonic() + self._round()

    def _round(self) -> float:
        """One round; returns the seconds until the next: none while a backlog is read."""
        is_whole = self._attempt(self._final.run)
        if is_whole is None:
            self._lane.lose()
            return _RETRY_S
        self._attempt(self._final.load_past)
        return _ROUND_S if is_whole else 0.0

    def _refill(self) -> None:
        self._lane.refill(self._final.stored_windows(datetime.now(UTC) - _REFILLED))

    def _attempt(self, action: Callable[[], T]) -> T | None:
        """The action's result; None if it failed, which is reported."""
        try:
            return action()
        except Exception as error:  # whatever it is, it is tried again
            message = _line(error)
            print(f"{APP}: the final lane failed, and tries again in {_RETRY_S} s: {message}", file=sys.stderr, flush=True)
            self._note(message)
            return None

    def _note(self, message: str) -> None:
        try:
            self._lake.states.stop(tables.live("events"), message)
        except Exception as error:  # Postgres may be what failed
            print(f"{APP}: its state could not be stored: {_line(error)}", file=sys.stderr, flush=True)


def _line(error: Exception) -> str:
    if isinstance(error, EbapError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
