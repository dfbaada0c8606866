"""The rest of line 11: the boards' questions while the platform lands and refines, and with ten times as much in bronze."""

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
from tests.bench.sides import agree, begin, p95, tell, timed, until

ROUNDS = 3
ASKED = 3
OPERATIONS_PER_S = 20
TIMES = 10
# More than this takes longer to refine than the whole bench may take.
MOST_ROWS = 1_500_000
_LIMIT_S = 600.0
_APPLIED_WITHIN_S = 30


def under_load(settings: Settings) -> None:
    """The questions' p95 while the shop trades and the DAG silver runs again and again, against an idle platform, in turns."""
    begin(f"11  board queries while landing and refining {OPERATIONS_PER_S} operations a second, against idle")
    control = Control(settings.control_dir)
    found = control.request()
    idle, busy = [], []
    try:
        with thrift.cursor(settings) as cursor:
            for _ in range(ROUNDS):
                trade(control, "paused", OPERATIONS_PER_S)
                settle(settings)
                idle.append(_ask(cursor))
                trade(control, "running", OPERATIONS_PER_S)
                with _refining(settings):
                    busy.append(_ask(cursor))
    finally:
        control.submit(is_paused=found.is_paused, rate=found.rate)
    ratios = [p95(loaded) / p95(quiet) for quiet, loaded in zip(idle, busy, strict=True)]
    medians = [statistics.median(map(p95, rounds)) for rounds in (busy, idle)]
    tell("1 user, p95 busy / idle (target at most 1.5)", ratios, f"p95 {medians[0]:.2f} s / {medians[1]:.2f} s")


def tenfold(settings: Settings) -> None:
    """The questions with ten times the bronze, by updates that change nothing, against before: no turns, as there is no way back."""
    begin(f"11  board queries with {TIMES} times the bronze, against before")
    with thrift.cursor(settings) as cursor:
        settle(settings)
        rows = _bronze_rows(cursor)
        if TIMES * rows > MOST_ROWS:
            print(
                f"    left out: bronze has {rows:,} rows already, and {TIMES} times as many would take too long: `make wipe`, `make demo`"
            )
            return
        before = _medians(cursor)
        _update((TIMES - 1) * rows, settings)
        settle(settings)
        after = _medians(cursor)
        now = _bronze_rows(cursor)
    for name, (_, answer) in before.items():
        agree(name, answer, after[name][1])
    ratios = [after[name][0] / seconds for name, (seconds, _) in before.items()]
    tell("1 user, after / before (target at most 1.1)", ratios, f"{len(ratios)} questions, bronze {now:,} / {rows:,} rows")


def _ask(cursor: Any) -> list[float]:
    """Seconds of every question."""
    return [timed(partial(over_thrift, cursor, question.render({})))[0] for question in QUESTIONS]


def _medians(cursor: Any) -> dict[str, tuple[float, list[Any]]]:
    """The median seconds of each question, after one time that is thrown away, and its answer."""
    found = {}
    for question in QUESTIONS:
        answer = over_thrift(cursor, question.render({}))
        found[question.name] = (statistics.median(_ask_again(cursor, question.render({}))), answer)
    return found


def _ask_again(cursor: Any, text: str) -> list[float]:
    return [timed(partial(over_thrift, cursor, text))[0] for _ in range(ASKED)]


def _bronze_rows(cursor: Any) -> int:
    ((rows,),) = over_thrift(cursor, f"SELECT count(*) FROM {storage.BRONZE}")
    return int(rows)


def _update(changes: int, settings: Settings) -> None:
    """Commit at least so many updates that change nothing, a whole table at a time."""
    done = 0
    while done < changes:
        for table in tables.SOURCES:
            column = next(column.name for column in table.columns if column.name not in table.key)
            with owner(settings) as cursor:
                cursor.execute(f'UPDATE {settings.source_schema}.{table.name} SET "{column}" = "{column}"')
                done += cursor.rowcount


def settle(settings: Settings) -> None:
    """Wait until all that is committed is in gold, and nothing is under way."""
    try:
        with redirect_stderr(io.StringIO()):  # it tells its stages
            catch_up.run(settings, _LIMIT_S)
    except NotReadyError as error:
        sys.exit(f"bench: {error}")


def trade(control: Control, state: str, rate: float) -> None:
    """Pause the shop or have it trade at that pace, and wait until it does; exits where no shop runs."""
    request = control.submit(is_paused=state == "paused", rate=rate)
    control.wait_until_applied(request, state, _APPLIED_WITHIN_S)


@contextmanager
def _refining(settings: Settings) -> Iterator[None]:
    """The DAG silver runs again and again; begins when new changes have landed and a run is under way."""
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
            sys.exit("bench: silver could not be run all the time: look at `make status`")
    finally:
        is_over.set()
        worker.join()
