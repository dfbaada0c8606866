"""The look every minute: when one begins, and that there is never a second beside it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lakehouse.schema_watch import SchemaWatch


def _looks(marks: Path, s: float) -> list[str]:
    return [sys.executable, "-c", f"import sys,time; open({str(marks)!r}, 'a').write('x'); time.sleep({s})"]


def _wait_for(marks: Path, count: int, watch: SchemaWatch) -> None:
    limit = time.monotonic() + 20
    while time.monotonic() < limit and not (marks.is_file() and len(marks.read_text()) >= count):
        watch.look()
        time.sleep(0.02)
    assert len(marks.read_text()) >= count


def test_a_look_begins_at_once_and_again_only_when_it_is_due(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    watch = SchemaWatch(_looks(marks, 0), every_s=1000)
    _wait_for(marks, 1, watch)
    time.sleep(0.3)
    watch.look()
    time.sleep(0.3)
    assert marks.read_text() == "x"
    _wait_for(marks, 3, SchemaWatch(_looks(marks, 0), every_s=0.01))


def test_there_is_never_a_second_look_beside_one_that_runs(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    watch = SchemaWatch(_looks(marks, 5), every_s=0.01)
    _wait_for(marks, 1, watch)
    for _ in range(20):
        watch.look()
        time.sleep(0.02)
    assert marks.read_text() == "x"
