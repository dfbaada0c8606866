"""Writers in processes of their own: what one leaves that is killed, and that several on one table lose nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from lakehouse.delta.errors import AlreadyAppliedError
from tests.unit.lake_tables import append, content, die_at, light_writer, make_table, positions_of, replace_rows

_PROCESSES = multiprocessing.get_context("spawn")


def test_a_writer_killed_at_any_step_leaves_all_or_nothing(tmp_path: Path) -> None:
    before = {**{(key, "a", True): 1 for key in range(4000)}}
    keys = list(range(0, 4000, 2))
    after = {**before, **{(key, "b", True): 1 for key in keys}}
    for key in keys:
        del after[(key, "a", True)]
    step, seen = 0, set()
    while True:
        step += 1
        log = make_table(str(tmp_path / str(step)), checkpointInterval="2")
        append(log, *((key, "a") for key in range(4000)))
        positions = positions_of(log, log.snapshot(), keys)
        process = os.fork()
        if not process:
            die_at(step, log.root, positions, keys, "b")
        _, status = os.waitpid(process, 0)
        found = content(log)
        assert found in (before, after), f"step {step}"
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        seen.add(found == after)
        try:
            replace_rows(log, keys, "b", txn=("w", 7))
        except AlreadyAppliedError:
            assert found == after
        assert content(log) == after, f"step {step}, run again"
        append(log, (-1, "goes on"))
    assert seen == {True, False} and step > 15
    assert content(log) == after


def test_writers_in_several_processes_lose_nothing(tmp_path: Path) -> None:
    commits, writers = 15, (0, 1000, 2000)
    log = make_table(str(tmp_path), checkpointInterval="7")
    append(log, *((first, "0") for first in writers))
    processes = [_PROCESSES.Process(target=light_writer, args=(log.root, first, commits)) for first in writers]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    found = content(log)
    expected = {(first, str(commits), True): 1 for first in writers}
    expected |= {(first + number, "added", True): 1 for first in writers for number in range(1, commits + 1)}
    assert found == expected
    assert log.snapshot().version == 1 + commits * len(writers)
