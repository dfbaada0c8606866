"""Aggregate one gold table: recompute the slices that its inputs' changes reach, and replace those that came out different.

Does: pins a version of each input, finds the touched slices, recomputes them, writes the differing ones in one commit, moves the mark.
Runs: from Airflow for each table, over the warm server; by spark-submit too: `aggregate.py TABLE [DAY ...]`.
Safe to run again: the same inputs give the same rows, and slices that came out equal are not written.
When it fails: the mark stays, and the next run takes up the same changes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import delta, ledger, pseudonyms, shapes, storage, tables, verb
from lakehouse.contract import Table
from lakehouse.lake import state
from lakehouse.lake.errors import ConflictError
from lakehouse.lake.state import TableState
from lakehouse.settings import Settings
from lakehouse.slices import Slice, is_within
from lakehouse.transforms import gold, views
from lakehouse.transforms.gold.reach import differing_slices

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SOURCES = {table.name for table in tables.SOURCES}


class AggregateError(RuntimeError):
    """A gold table that cannot be aggregated; the message names it and the cure. Its mark has not moved."""


@dataclass(frozen=True, kw_only=True)
class AggregateResult:
    """What a run did: the slices it computed (None for all), those that came out different and were replaced, whether any did."""

    table: str
    recomputed: tuple[Slice, ...] | None
    slices: tuple[Slice, ...]
    changed: bool


def run(spark: SparkSession, settings: Settings, table_name: str, slices: Sequence[date] | None = None) -> AggregateResult:
    """Recompute the slices touched since the table's mark, or exactly the given ones, which leaves the mark where it is.

    Does nothing, quickly, where no input has moved.
    """
    table = tables.gold(table_name)
    if table.is_view:
        raise AggregateError(f"{table.full_name} is a view: there is nothing to aggregate")
    mark = state.store(settings).read(table)
    # Read before the versions are pinned: what is pinned is at least as complete.
    complete_to = _complete_to(settings, table)
    versions = {name: storage.version(spark, _stored_name(name)) for name in table.inputs}
    try:
        if slices is not None:
            return _result(table, slices, _recompute(spark, settings, table, _pinned(spark, versions), slices))
        if mark.has_run and versions == {name: made["version"] for name, made in mark.inputs.items()}:
            _note(settings, table, mark.inputs, complete_to, mark)
            return _result(table, [], [])
        return _advance(spark, settings, table, versions, mark, complete_to)
    except Exception as error:  # see delta: its class depends on the kind of session
        if isinstance(error, ConflictError) or delta.is_overtaken(error):
            raise AggregateError(f"another run of {table.full_name} committed first; run it again") from error
        raise


def _advance(
    spark: SparkSession,
    settings: Settings,
    table: Table,
    versions: dict[str, int],
    mark: TableState,
    complete_to: datetime | None,
) -> AggregateResult:
    """Recompute what moved since the mark, then move the mark."""
    pinned = _pinned(spark, versions)
    runs = _runs({name: frame for name, frame in pinned.items() if name in _SOURCES})
    marks = {name: {"version": version, **({"run": runs[name][1]} if name in runs else {})} for name, version in versions.items()}
    touched = _touched(spark, table, pinned, versions, runs, mark.inputs) if mark.has_run else None
    written = _recompute(spark, settings, table, pinned, touched)
    _note(settings, table, marks, complete_to, mark)
    return _result(table, touched, written)


def _touched(
    spark: SparkSession,
    table: Table,
    pinned: dict[str, DataFrame],
    versions: dict[str, int],
    runs: dict[str, tuple[int, int]],
    marks: Mapping[str, Any],
) -> list[Slice] | None:
    """Slices that changes since the marks can reach; None for all of them."""
    moved = [name for name in table.inputs if name not in marks or versions[name] != marks[name]["version"]]
    if any(name not in marks or versions[name] < marks[name]["version"] for name in moved):
        return None  # an input is new, or was made anew
    changes = {name: pinned[name] for name in moved if name in _SOURCES}
    # Where no row is of an earlier run the table may have been rebuilt: keys may have gone without a row that says so.
    if any(runs[name][0] >= marks[name]["run"] for name in changes):
        return None
    found = []
    if changes:
        finder = gold.touched_slices(table)
        if finder is None:
            return None
        found.append(finder(_frames(table, pinned), changes, {name: marks[name]["run"] for name in changes}, _stored_now(spark, table)))
    for name in (name for name in moved if name not in _SOURCES):
        expression = gold.sliced_by(table).get(name)
        if expression is None:
            return None
        feed = storage.change_feed(spark, _stored_name(name), marks[name]["version"] + 1, versions[name])
        found.append(feed.selectExpr(f"{expression} AS `{table.slice}`"))
    try:
        return _collected(reduce(lambda one, other: one.union(other), found).distinct())
    except Exception as error:  # see delta: its class depends on the kind of session
        if delta.is_gone(error):
            return None  # the change feed behind the mark: everything is recomputed
        raise


def _recompute(
    spark: SparkSession, settings: Settings, table: Table, pinned: dict[str, DataFrame], slices: Sequence[Slice] | None
) -> list[Slice]:
    """Compute the slices (all for None) and replace those that differ from what is stored, in one commit; returns them."""
    if slices is not None and not slices:
        return []
    assert table.slice is not None  # views were refused
    condition = "true" if slices is None else is_within(f"`{table.slice}`", slices)
    frames = _frames(table, pinned, slices)
    # A column that the source widened is wider in silver too; gold's is as declared.
    made = shapes.fitted(gold.transform(table)(**frames), table).where(condition).select(*table.column_names)
    rows = pseudonyms.hidden(made, table, settings).persist()
    try:
        stored = _stored_now(spark, table).where(condition)
        differing = _collected(differing_slices(rows, stored, table.slice))
        if differing:
            storage.replace_slices(spark, table, rows.where(is_within(f"`{table.slice}`", differing)), differing)
        return differing
    finally:
        rows.unpersist()


def _frames(table: Table, pinned: dict[str, DataFrame], slices: Sequence[Slice] | None = None) -> dict[str, DataFrame]:
    """The frames the transform takes, by parameter name; those that carry the slice hold only the wanted slices."""
    frames = {name: _frame(name, pinned) for name in gold.parameters(table)}
    if slices is None:
        return frames
    return frames | {name: frames[name].where(is_within(day, slices)) for name, day in gold.sliced_by(table).items()}


def _frame(name: str, pinned: dict[str, DataFrame]) -> DataFrame:
    source = name.removesuffix(gold.HISTORY_SUFFIX)
    if source not in _SOURCES:
        return pinned[name]
    view = views.live if source == name else views.history
    return view(pinned[source], tables.source(source))


def _pinned(spark: SparkSession, versions: dict[str, int]) -> dict[str, DataFrame]:
    """Each input's stored table at its version: a run sees one state however long it takes."""
    return {name: storage.read_version(spark, _stored_name(name), version) for name, version in versions.items()}


def _stored_now(spark: SparkSession, table: Table) -> DataFrame:
    """The gold table as it is now."""
    return storage.read_version(spark, table.full_name, storage.version(spark, table.full_name))


def _runs(changes: dict[str, DataFrame]) -> dict[str, tuple[int, int]]:
    """Least and greatest run of each source table's rows; -1 where there are none."""
    if not changes:
        return {}
    least, greatest = F.coalesce(F.min("_run"), F.lit(-1)), F.coalesce(F.max("_run"), F.lit(-1))
    each = [frame.agg(F.lit(name).alias("name"), least.alias("least"), greatest.alias("greatest")) for name, frame in changes.items()]
    return {row["name"]: (row["least"], row["greatest"]) for row in reduce(lambda one, other: one.union(other), each).collect()}


def _complete_to(settings: Settings, table: Table) -> datetime | None:
    """Commit time up to which all inputs are complete; None while one of them has not been made."""
    inputs = [tables.source(name) if name in _SOURCES else tables.gold(name) for name in table.inputs]
    found = [made.complete_to for made in state.store(settings).read_all(inputs).values()]
    return None if None in found else min(at for at in found if at)


def _note(settings: Settings, table: Table, inputs: Mapping[str, Any], complete_to: datetime | None, before: TableState) -> None:
    """Write the table's state, unless it already says so."""
    if before.has_run and (before.inputs, before.complete_to) == (inputs, complete_to):
        return
    made = TableState(table_name=table.full_name, inputs=inputs, complete_to=complete_to, updated_at=datetime.now(UTC))
    state.store(settings).advance(before, made)


def _stored_name(name: str) -> str:
    return ledger.stored(tables.source(name)).full_name if name in _SOURCES else tables.gold(name).full_name


def _collected(slices: DataFrame) -> list[Slice]:
    return sorted((row[0] for row in slices.collect()), key=str)


def _result(table: Table, recomputed: Sequence[Slice] | None, written: Sequence[Slice]) -> AggregateResult:
    computed = None if recomputed is None else tuple(recomputed)
    return AggregateResult(table=table.name, recomputed=computed, slices=tuple(written), changed=bool(written))


def asked(words: list[str]) -> verb.Call:
    """What aggregates the named table once: what its inputs changed, or the days given."""
    parser = argparse.ArgumentParser(prog="aggregate", description="Recompute what changed of a gold table, or the days given.")
    parser.add_argument("table", choices=[table.name for table in tables.GOLD if not table.is_view])
    parser.add_argument("days", nargs="*", type=date.fromisoformat, help="UTC days as YYYY-MM-DD")
    given = parser.parse_args(words)
    return partial(run, table_name=given.table, slices=given.days or None)


if __name__ == "__main__":
    verb.main("aggregate", asked, sys.argv[1:])
