"""Aggregate one gold table: recompute the slices that its inputs' changes reach, and replace those that differ.

A snapshot of each input is pinned, the touched slices are found and computed, those that differ from what is stored are replaced in one
commit that carries the checkpoint, and the table's state moves. The same inputs give the same rows, and slices that came out equal are
not written. What is small is computed in this process by DuckDB; more is Spark's (`TooLargeError`), from the same SQL.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from lakehouse import tables
from lakehouse.errors import EbapError, TooLargeError, retry
from lakehouse.gold import inputs as pinning
from lakehouse.gold import queries
from lakehouse.gold.inputs import Inputs, is_source
from lakehouse.lake import checkpoints
from lakehouse.lake.lake import Lake
from lakehouse.lake.state import TableState

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.settings import Settings
    from lakehouse.sql import Slice

# Per source table that moved: the run from which its changes count.
Marks = Mapping[str, int | None]


@dataclass(frozen=True, kw_only=True)
class AggregateResult:
    """What a run did: the slices it computed (None for all), those that came out different and were replaced, whether any did."""

    table: str
    recomputed: tuple[Slice, ...] | None
    slices: tuple[Slice, ...]
    changed: bool


class Engine(Protocol):
    """What computes: see `light` and `heavy`."""

    def touched(self) -> list[Slice]:
        """The slices that the changes of source tables reach."""

    def replace(self, slices: Sequence[Slice] | None, checkpoint: Mapping[str, Any] | None) -> list[Slice]:
        """Compute these slices, replace those that differ in one commit with the checkpoint, and return them."""


MakeEngine = Callable[[Inputs, Marks], AbstractContextManager[Engine]]


def run(lake: Lake, table_name: str, slices: Sequence[date] | None = None) -> AggregateResult:
    """Recompute the slices touched since the table's checkpoint, or exactly the given ones, which leaves the checkpoint where it is.

    Does nothing, quickly, where no input has moved. Raises EbapError, and TooLargeError where a run by Spark is due.
    """

    def light(inputs: Inputs, marks: Marks) -> AbstractContextManager[Engine]:
        from lakehouse.gold.light import Light  # loads DuckDB: not where nothing has moved

        return Light(lake, inputs, marks)

    return run_by(lake, light, table_name, slices, most_rows=lake.settings.light_rows)


def run_by(
    lake: Lake, engine: MakeEngine, table_name: str, slices: Sequence[date] | None = None, most_rows: int | None = None
) -> AggregateResult:
    """The same by the given engine, which takes at most so many rows of inputs (None: any number)."""
    table = tables.gold(table_name)
    if table.is_view:
        raise EbapError(f"{table.full_name} is a view: there is nothing to aggregate")
    # A compaction or another run may be first: read again, decide anew.
    return retry(lambda: _run(lake, engine, table, slices, most_rows))


def _run(lake: Lake, engine: MakeEngine, table: Table, slices: Sequence[date] | None, most_rows: int | None) -> AggregateResult:
    known = lake.states.read(table)
    # Read before the versions are pinned: what is pinned is at least as complete.
    complete_to = _complete_to(lake, table)
    inputs = pinning.pin(lake, table)
    if slices is not None:
        _refuse_large(inputs, slices, most_rows)
        with engine(inputs, {}) as made:
            return _result(table, slices, made.replace(slices, None))
    if not known.has_run:
        known = checkpoints.restored(lake.log(table), known)
    if known.has_run and inputs.versions == {name: mark["version"] for name, mark in known.inputs.items()}:
        _advance(lake, table, known, known.inputs, complete_to)
        return _result(table, [], [])
    return _Increment(lake, engine, inputs, known, complete_to, most_rows).result()


class _Increment:
    """What the inputs changed since `known`, the table's state when the run began."""

    def __init__(
        self, lake: Lake, engine: MakeEngine, inputs: Inputs, known: TableState, complete_to: datetime | None, most_rows: int | None
    ) -> None:
        self._lake, self._engine, self._inputs, self._known = lake, engine, inputs, known
        self._table, self._complete_to, self._most_rows = inputs.table, complete_to, most_rows
        self._runs = pinning.runs(lake, inputs)

    def result(self) -> AggregateResult:
        marks = self._marks() if self._known.has_run else None
        by_log = self._changed_slices() if marks is not None else None
        is_whole = marks is None or by_log is None or (bool(marks) and queries.touched(self._table) is None)
        # To find what changes of source tables reach, all of an input is read.
        _refuse_large(self._inputs, None if is_whole or marks else sorted(by_log or (), key=str), self._most_rows)
        with self._engine(self._inputs, marks or {}) as engine:
            touched = None if is_whole else sorted({*(by_log or ()), *(engine.touched() if marks else ())}, key=str)
            state = self._state()
            written = engine.replace(touched, state.checkpoint())
        _advance(self._lake, self._table, self._known, state.inputs, self._complete_to)
        return _result(self._table, touched, written)

    def _moved(self) -> list[str]:
        marks, versions = self._known.inputs, self._inputs.versions
        return [name for name in self._table.inputs if name not in marks or versions[name] != marks[name]["version"]]

    def _marks(self) -> Marks | None:
        """Per source table that moved, the run from which its changes count; None where everything may be another."""
        marks, moved = self._known.inputs, self._moved()
        if any(name not in marks or self._inputs.versions[name] < marks[name]["version"] for name in moved):
            return None  # an input is new, or was made anew
        sources = [name for name in moved if is_source(name)]
        # Where no row is of an earlier run the table may have been rebuilt: keys may have gone without a row that says so.
        if any(self._runs[name][0] >= marks[name]["run"] for name in sources):
            return None
        return {name: marks[name]["run"] for name in sources}

    def _changed_slices(self) -> set[Slice] | None:
        """Slices in which gold tables among the inputs changed; None where one does not say."""
        found: set[Slice] = set()
        for name in self._moved():
            if not is_source(name):
                changed = pinning.changed_slices(self._lake, self._inputs, name, self._known.inputs[name]["version"])
                if changed is None:
                    return None
                found |= changed
        return found

    def _state(self) -> TableState:
        runs = self._runs
        consumed = {
            name: {"version": version, **({"run": runs[name][1]} if name in runs else {})}
            for name, version in self._inputs.versions.items()
        }
        return _state(self._table, consumed, self._complete_to)


def _state(table: Table, consumed: Mapping[str, Any], complete_to: datetime | None) -> TableState:
    return TableState(table_name=table.full_name, inputs=consumed, complete_to=complete_to, updated_at=datetime.now(UTC))


def _advance(lake: Lake, table: Table, known: TableState, consumed: Mapping[str, Any], complete_to: datetime | None) -> None:
    """Write the table's state, unless it already says so."""
    if known.turn and (known.inputs, known.complete_to) == (consumed, complete_to):
        return
    lake.states.advance(known, _state(table, consumed, complete_to))


def _refuse_large(inputs: Inputs, slices: Sequence[Slice] | None, most_rows: int | None) -> None:
    if most_rows is None:
        return
    found = inputs.rows(slices)
    if found > most_rows:
        raise TooLargeError(f"{inputs.table.full_name}: {found} rows of its inputs are to be read, more than EBAP_LIGHT_ROWS={most_rows}")


def _complete_to(lake: Lake, table: Table) -> datetime | None:
    """Commit time up to which all inputs are complete; None while one of them has not been made."""
    named = [tables.source(name) if is_source(name) else tables.gold(name) for name in table.inputs]
    found = [made.complete_to for made in lake.states.read_all(named).values()]
    return None if None in found else min(at for at in found if at)


def _result(table: Table, recomputed: Sequence[Slice] | None, written: Sequence[Slice]) -> AggregateResult:
    computed = None if recomputed is None else tuple(recomputed)
    return AggregateResult(table=table.name, recomputed=computed, slices=tuple(written), changed=bool(written))


def parse(words: list[str]) -> tuple[str, list[date] | None]:
    """The table, and the days that are asked for; None for what changed."""
    parser = argparse.ArgumentParser(prog="aggregate", description="Recompute what changed of a gold table, or the days given.")
    parser.add_argument("table", choices=[table.name for table in tables.GOLD if not table.is_view])
    parser.add_argument("days", nargs="*", type=date.fromisoformat, help="UTC days as YYYY-MM-DD")
    given = parser.parse_args(words)
    return given.table, given.days or None


def light(argv: list[str]) -> Callable[[Settings], AggregateResult]:
    """What aggregates the named table once in this process."""
    return partial(_light, *parse(argv))


def _light(table_name: str, slices: list[date] | None, settings: Settings) -> AggregateResult:
    return run(Lake(settings), table_name, slices)
