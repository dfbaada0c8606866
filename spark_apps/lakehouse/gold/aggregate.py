"""Aggregate one gold table: recompute the slices that its inputs' changes affect, and replace those that differ.

A run pins a snapshot of each input, determines and computes the affected slices, replaces those that differ from the stored ones in one
commit that carries the checkpoint, and updates the table's state. The result is deterministic, and unchanged slices are not written. Small
runs are computed in this process by DuckDB, larger ones (`TooLargeError`) by Spark, from the same SQL.
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

# Per changed source table: the run from which its changes count.
SinceRuns = Mapping[str, int | None]


@dataclass(frozen=True, kw_only=True)
class AggregateResult:
    """Result of a run: the slices computed (None for all), those that differed and were replaced, whether any did."""

    table: str
    recomputed: tuple[Slice, ...] | None
    slices: tuple[Slice, ...]
    changed: bool


class Engine(Protocol):
    """Computes slices: see `light` and `heavy`."""

    def touched(self) -> list[Slice]:
        """The slices that the changes of source tables affect."""

    def replace(self, slices: Sequence[Slice] | None, checkpoint: Mapping[str, Any] | None) -> list[Slice]:
        """Compute these slices, replace those that differ in one commit with the checkpoint, and return them."""


EngineFactory = Callable[[Inputs, SinceRuns], AbstractContextManager[Engine]]


def run(lake: Lake, table_name: str, slices: Sequence[date] | None = None) -> AggregateResult:
    """Recompute the slices affected since the table's checkpoint, or exactly the given ones, which keeps the checkpoint.

    Returns quickly if no input has changed. Raises EbapError, and TooLargeError if the run must be done by Spark.
    """

    def light(inputs: Inputs, since_runs: SinceRuns) -> AbstractContextManager[Engine]:
        from lakehouse.gold.light import Light  # loads DuckDB, which is not needed if no input has changed

        return Light(lake, inputs, since_runs)

    return run_by(lake, light, table_name, slices, most_rows=lake.settings.light_rows)


def run_by(
    lake: Lake, engine: EngineFactory, table_name: str, slices: Sequence[date] | None = None, most_rows: int | None = None
) -> AggregateResult:
    """The same by the given engine, which takes at most `most_rows` rows of inputs (None: any number)."""
    table = tables.gold(table_name)
    if table.is_view:
        raise EbapError(f"{table.full_name} is a view: there is nothing to aggregate")
    # A compaction or another run may commit first: read again and recompute.
    return retry(lambda: _run(lake, engine, table, slices, most_rows))


def _run(lake: Lake, engine: EngineFactory, table: Table, slices: Sequence[date] | None, most_rows: int | None) -> AggregateResult:
    known = lake.states.read(table)
    # Read before the versions are pinned: the pinned data is at least as complete.
    complete_to = _complete_to(lake, table)
    inputs = pinning.pin(lake, table)
    if slices is not None:
        _refuse_large(inputs, slices, most_rows)
        with engine(inputs, {}) as opened:
            return _result(table, slices, opened.replace(slices, None))
    if not known.has_run:
        known = checkpoints.restored(lake.log(table), known)
    if known.has_run and inputs.versions == {name: consumed["version"] for name, consumed in known.inputs.items()}:
        _advance(lake, table, known, known.inputs, complete_to)
        return _result(table, [], [])
    return _Increment(lake, engine, inputs, known, complete_to, most_rows).result()


class _Increment:
    """A run for the inputs' changes since `known`, the table's state at its start."""

    def __init__(
        self, lake: Lake, engine: EngineFactory, inputs: Inputs, known: TableState, complete_to: datetime | None, most_rows: int | None
    ) -> None:
        self._lake, self._engine, self._inputs, self._known = lake, engine, inputs, known
        self._table, self._complete_to, self._most_rows = inputs.table, complete_to, most_rows
        self._runs = pinning.runs(lake, inputs)

    def result(self) -> AggregateResult:
        since_runs = self._since_runs() if self._known.has_run else None
        by_log = self._changed_slices() if since_runs is not None else None
        is_whole = since_runs is None or by_log is None or (bool(since_runs) and queries.touched(self._table) is None)
        # Finding the slices that source changes affect reads whole inputs.
        _refuse_large(self._inputs, None if is_whole or since_runs else sorted(by_log or (), key=str), self._most_rows)
        with self._engine(self._inputs, since_runs or {}) as engine:
            touched = None if is_whole else sorted({*(by_log or ()), *(engine.touched() if since_runs else ())}, key=str)
            state = self._state()
            written = engine.replace(touched, state.checkpoint())
        _advance(self._lake, self._table, self._known, state.inputs, self._complete_to)
        return _result(self._table, touched, written)

    def _changed_inputs(self) -> list[str]:
        consumed, versions = self._known.inputs, self._inputs.versions
        return [name for name in self._table.inputs if name not in consumed or versions[name] != consumed[name]["version"]]

    def _since_runs(self) -> SinceRuns | None:
        """Per changed source table, the run from which its changes count; None if everything may have changed."""
        consumed, changed = self._known.inputs, self._changed_inputs()
        if any(name not in consumed or self._inputs.versions[name] < consumed[name]["version"] for name in changed):
            return None  # an input is new, or was recreated
        sources = [name for name in changed if is_source(name)]
        # If no row is of an earlier run, the table may have been rebuilt, and keys may be missing without a delete.
        if any(self._runs[name][0] >= consumed[name]["run"] for name in sources):
            return None
        return {name: consumed[name]["run"] for name in sources}

    def _changed_slices(self) -> set[Slice] | None:
        """Slices in which gold inputs changed; None if those of an input are not known."""
        found: set[Slice] = set()
        for name in self._changed_inputs():
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
    """Write the table's state, unless it is up to date."""
    if known.turn and (known.inputs, known.complete_to) == (consumed, complete_to):
        return
    lake.states.advance(known, _state(table, consumed, complete_to))


def _refuse_large(inputs: Inputs, slices: Sequence[Slice] | None, most_rows: int | None) -> None:
    if most_rows is None:
        return
    found = inputs.rows(slices)
    if found > most_rows:
        raise TooLargeError(f"{inputs.table.full_name}: {found} rows of its inputs must be read, more than EBAP_LIGHT_ROWS={most_rows}")


def _complete_to(lake: Lake, table: Table) -> datetime | None:
    """Commit time up to which all inputs are complete; None while one of them has not been created."""
    named = [tables.source(name) if is_source(name) else tables.gold(name) for name in table.inputs]
    found = [state.complete_to for state in lake.states.read_all(named).values()]
    return None if None in found else min(at for at in found if at)


def _result(table: Table, recomputed: Sequence[Slice] | None, written: Sequence[Slice]) -> AggregateResult:
    computed = None if recomputed is None else tuple(recomputed)
    return AggregateResult(table=table.name, recomputed=computed, slices=tuple(written), changed=bool(written))


def parse(argv: list[str]) -> tuple[str, list[date] | None]:
    """The table, and the days given; None for what changed."""
    parser = argparse.ArgumentParser(prog="aggregate", description="Recompute what changed of a gold table, or the days given.")
    parser.add_argument("table", choices=[table.name for table in tables.GOLD if not table.is_view])
    parser.add_argument("days", nargs="*", type=date.fromisoformat, help="UTC days as YYYY-MM-DD")
    given = parser.parse_args(argv)
    return given.table, given.days or None


def light(argv: list[str]) -> Callable[[Settings], AggregateResult]:
    """A call that aggregates the named table once in this process."""
    return partial(_light, *parse(argv))


def _light(table_name: str, slices: list[date] | None, settings: Settings) -> AggregateResult:
    return run(Lake(settings), table_name, slices)
