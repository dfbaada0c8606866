"""The second part of line 11: the boards' questions while the platform lands and refines, and with ten times the bronze."""

from __future__ import annotations

import io
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial
from typing import Any

from generator.control import Control
from lakehouse import tables
from lakehouse.errors import NotReadyError
from lakehouse.health import airflow_client, catch_up
from lakehouse.lake import storage
from lakehouse.settings import Settings
from lakehouse.source.connection import owner
from lakehouse.spark import thrift
from lakehouse.spark.streaming import report_file
from tests.bench.boards import QUESTIONS, over_thrift
from tests.bench.sides import agree, begin, p95, report, timed, until

ROUNDS = 3
REPEATS = 3
OPERATIONS_PER_S = 20
TIMES = 10
# More rows would take too long to refine.
MOST_ROWS = 1_500_000
_LIMIT_S = 600.0
_APPLIED_WITHIN_S = 30


def under_load(settings: Settings) -> None:
    """The questions' p95 under traffic with repeated runs of DAG silver, against an idle platform, in turns."""
    begin(f"11  board queries while landing and refining {OPERATIONS_PER_S} operations per second, against idle")
    control = Control(settings.control_dir)
    idle, busy = [], []
    with restored(control), thrift.cursor(settings) as cursor:
        for _ in range(ROUNDS):
            trade(control, "paused", OPERATIONS_PER_S)
            settle(settings)
            idle.append(_seconds(cursor))
            trade(control, "running", OPERATIONS_PER_S)
            with _refining(settings):
                busy.append(_seconds(cursor))
    ratios = [p95(loaded) / p95(quiet) for quiet, loaded in zip(idle, busy, strict=True)]
    medians = [statistics.median(map(p95, rounds)) for rounds in (busy, idle)]
    report("1 user, p95 busy / idle (target at most 1.5)", ratios, f"p95 {medians[0]:.2f} s / {medians[1]:.2f} s")


def tenfold(settings: Settings) -> None:
    """The questions with ten times the bronze, filled by updates without changes, against before; not in turns, as it is irreversible."""
    begin(f"11  board queries with {TIMES} times the bronze, against before")
    with thrift.cursor(settings) as cursor:
        settle(settings)
        rows = _bronze_rows(cursor)
        if TIMES * rows > MOST_ROWS:
            print(f"    skipped: bronze already has {rows:,} rows, and {TIMES} times as many would take too long: `make wipe`, `make demo`")
            return
        before = _medians(cursor)
        _update((TIMES - 1) * rows, settings)
        settle(settings)
        after = _medians(cursor)
        now = _bronze_rows(cursor)
    for name, (_, answer) in before.items():
        agree(name, answer, after[name][1])
    ratios = [after[name][0] / seconds for name, (seconds, _) in before.items()]
    report("1 user, after / before (target at most 1.1)", ratios, f"{len(ratios)} questions, bronze {now:,} / {rows:,} rows")


def _seconds(cursor: Any) -> list[float]:
    """The duration of every question in seconds."""
    return [timed(partial(over_thrift, cursor, question.render({})))[0] for question in QUESTIONS]


def _medians(cursor: Any) -> dict[str, tuple[float, list[Any]]]:
    """The median duration of each question in seconds, after one discarded run, and its result."""
    found = {}
    for question in QUESTIONS:
        answer = over_thrift(cursor, question.render({}))
        found[question.name] = (statistics.median(_repeated(cursor, question.render({}))), answer)
    return found


def _repeated(cursor: Any, text: str) -> list[float]:
    return [timed(partial(over_thrift, cursor, text))[0] for _ in range(REPEATS)]


def _bronze_rows(cursor: Any) -> int:
    ((rows,),) = over_thrift(cursor, f"SELECT count(*) FROM {storage.BRONZE}")
    return int(rows)


def _update(changes: int, settings: Settings) -> None:
    """Commit at least that many updates that change no value, a whole table at a time."""
    done = 0
    while done < changes:
        for table in tables.SOURCES:
            column = next(column.name for column in table.columns if column.name not in table.key)
            with owner(settings) as cursor:
                cursor.execute(f'UPDATE {settings.source_schema}.{table.name} SET "{column}" = "{column}"')
                done += cursor.rowcount


def settle(settings: Settings) -> None:
    """Wait until all commits are in gold and no run is active."""
    try:
        with redirect_stderr(io.StringIO()):  # it prints its stages
            catch_up.run(settings, _LIMIT_S)
    except NotReadyError as error:
        sys.exit(f"bench: {error}")


@contextmanager
def restored(control: Control) -> Iterator[None]:
    """Within the block the service may be given another state, which is taken back after it."""
    found = control.request()
    try:
        yield
    finally:
        control.submit(is_paused=found.is_paused, rate=found.rate)


def trade(control: Control, state: str, rate: float) -> None:
    """Pause the generator or run it at that rate, and wait until it does."""
    request = control.submit(is_paused=state == "paused", rate=rate)
    control.wait_until_applied(request, state, _APPLIED_WITHIN_S)


@contextmanager
def _refining(settings: Settings) -> Iterator[None]:
    """Run DAG silver repeatedly; starts once new changes have landed and a run is active."""
    is_over, runs = threading.Event(), 0

    def refine() -> None:
        nonlocal runs
        while not is_over.is_set():
            runs += 1
            airflow_client.finish(settings, "silver", _LIMIT_S)

    landed = report_file(settings, "land").read_text()
    until(lambda: report_file(settings, "land").read_text() != landed, _LIMIT_S, "land to report a batch")
    worker = threading.Thread(target=refine)
    worker.start()
    try:
        until(lambda: runs, _LIMIT_S, "a run of silver")
        yield
        if not worker.is_alive():
            sys.exit("bench: a run of silver failed: see `make status`")
    finally:
        is_over.set()
        worker.join()
