"""The rules of history on Spark's executors: cases and random histories through the heavy fold; and checks of the oracle itself.

Truncates, which concern a whole table, are tested in `test_stored.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.golden.carrier import Silver, in_step
from tests.golden.notation import Case, summary
from tests.golden.oracle import COLUMNS, WHOLE_TABLE, Change, Rules
from tests.golden.test_fold import CASES, NAME_ONLY, arrivals, contested, lossy, open_rows
from tests.golden.world import World, deliveries

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_HEAVY_WORLDS = 120
_WORLDS = 3000

Batches = Sequence[Sequence[Change]]


def _has_truncate(batches: Batches) -> bool:
    return any(change.key == WHOLE_TABLE for batch in batches for change in batch)


def _histories() -> Iterator[tuple[Case | Rules, Batches]]:
    """Each case in each order of arrival, and random histories of every kind, with the expected result."""
    for case in CASES:
        yield from ((case, batches) for batches in arrivals(case) if case.tracked == COLUMNS)
    for seed in range(_HEAVY_WORLDS):
        for changes in (World(seed).changes, lossy(seed), contested(seed)):
            rules = Rules(COLUMNS)
            rules.fold(changes)
            yield rules, deliveries(changes, seed)


def test_the_heavy_fold_gives_the_expected_history_also_from_scratch(spark: SparkSession) -> None:
    named = [(expected, batches) for expected, batches in _histories() if not _has_truncate(batches)]
    histories = [batches for _, batches in named]
    silver = Silver(spark)
    for step in in_step(histories):
        silver.take(step)
    every = [(case, change) for case, batches in enumerate(histories) for batch in batches for change in batch]
    silver.take(every)
    assert not silver.writes, "a repetition of everything wrote something"
    assert silver.stored() == silver.from_scratch(every)
    versions, live = silver.versions(), silver.live()
    for number, (expected, _) in enumerate(named):
        found = versions.get(number, [])
        if isinstance(expected, Case):
            assert tuple(map(summary, found)) in (expected.versions, expected.either), expected.doc
        else:
            assert found == sorted(expected.versions, key=lambda version: (version.key, version.from_us)), f"history {number}"
        assert live.get(number, []) == open_rows(found)
    assert len(named) > 500


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_oracle_gives_the_expected_history(case: Case) -> None:
    folded = Rules(case.tracked).fold(change for batch in case.batches for change in batch)
    assert tuple(map(summary, folded)) in (case.versions, case.either)


@pytest.mark.parametrize("tracked", [COLUMNS, NAME_ONLY], ids="/".join)
def test_the_oracle_equals_the_truth_in_any_order(tracked: tuple[str, ...]) -> None:
    assert _wrong(lambda: Rules(tracked), tracked) == 0


class ByArrival(Rules):
    """An injected fault: changes in order of arrival."""

    def ordered(self, changes: list[Change]) -> list[Change]:
        return changes


class ByTime(Rules):
    """An injected fault: changes in order of commit time."""

    def ordered(self, changes: list[Change]) -> list[Change]:
        return sorted(changes, key=lambda change: change.at_us)


class ByOffset(Rules):
    """An injected fault: a record is identified by its Kafka offset."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        return list({change.offset: change for change in changes}.values())

    def ordered(self, changes: list[Change]) -> list[Change]:
        return sorted(changes, key=lambda change: change.offset or 0)


class ByLsnAlone(Rules):
    """An injected fault: a record is identified by its position alone."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        return list({(change.epoch, change.lsn): change for change in changes}.values())


class OldKeyIgnored(Rules):
    """An injected fault: the new row of a key change is treated as any other."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        return [replace(change, linked=None) for change in super().distinct(changes)]


class TruncatesIgnored(Rules):
    """An injected fault: truncates are ignored, as Debezium does by default."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        return [change for change in super().distinct(changes) if change.kind != "truncate"]


class NoOpsDropped(Rules):
    """An injected fault: an update that repeats the previous row is dropped."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        kept: list[Change] = []
        for change in super().distinct(changes):
            known = [k for k in kept if k.key == change.key and (k.epoch, k.lsn) < (change.epoch, change.lsn)]
            if not known or change.values is None or max(known, key=lambda k: (k.epoch, k.lsn)).values != change.values:
                kept.append(change)
        return kept


@pytest.mark.parametrize("fault", [ByArrival, ByTime, ByOffset, ByLsnAlone, OldKeyIgnored, TruncatesIgnored, NoOpsDropped])
def test_an_injected_fault_is_detected(fault: Callable[..., Rules]) -> None:
    assert _wrong(lambda: fault(COLUMNS), COLUMNS, worlds=500) > 10


def _wrong(rules: Callable[[], Rules], tracked: tuple[str, ...], worlds: int = _WORLDS) -> int:
    """The number of random worlds whose history the rules get wrong."""
    generated = (World(seed, tracked) for seed in range(worlds))
    return sum(rules().fold(c for batch in deliveries(w.changes, w.seed) for c in batch) != w.truth for w in generated)
