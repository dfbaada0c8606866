"""The rules of history: every case and many random histories through the transform, against an oracle that shares nothing with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse.transforms import ordering
from tests.conftest import compiled
from tests.golden.carrier import Silver, in_step
from tests.golden.notation import Case, read_case, summary
from tests.golden.oracle import COLUMNS, UNCHANGED, Change, Rules, Version
from tests.golden.world import World, deliveries

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CASES = [read_case(path) for path in sorted((Path(__file__).parent / "history").glob("*.toml"))]
NAME_ONLY = ("name",)
# By the tracked columns; a quarter as many with changes lost, and with contested ones.
_RANDOM_HISTORIES = {COLUMNS: 1500, NAME_ONLY: 300}
_WORLDS = 3000

Batches = Sequence[Sequence[Change]]


@dataclass(frozen=True)
class Outcome:
    """What one history became in the transform; `is_silent`: its last batch wrote nothing, nor did any of it once more."""

    versions: list[Version]
    live: list[tuple[str | None, ...]]
    is_last_silent: bool
    is_repeat_silent: bool
    contested: set[int]


def _arrivals(case: Case) -> list[Batches]:
    """A case as written, all at once, backwards in three batches, and shuffled with repeats."""
    changes = [change for batch in case.batches for change in batch]
    third = -(-len(changes) // 3)
    backwards = [changes[::-1][start : start + third] for start in range(0, len(changes), third)]
    return [case.batches, [changes], backwards, *(deliveries(changes, seed) for seed in range(2))]


def _lossy(seed: int) -> list[Change]:
    """A random history of which some changes never come, so that values stay unresolved and keys begin with a delete."""
    chance = random.Random(seed)
    # Both halves of a key change are of one message: where one is lost, so is the other.
    lost = {change.lsn for change in World(seed).changes if chance.random() < 0.2}
    return [change for change in World(seed).changes if change.lsn not in lost]


def _contested(seed: int) -> list[Change]:
    """A random history in which some records come a second time with other content."""
    chance = random.Random(seed)
    changes = World(seed).changes
    others = [replace(c, values=("c", "z"), offset=(c.offset or 0) + 500) for c in changes if c.values and chance.random() < 0.2]
    return [*changes, *others]


def _carry(spark: SparkSession, tracked: Sequence[str], histories: Sequence[Batches]) -> list[Outcome]:
    silver = Silver(spark, tracked)
    last_writes: dict[int, int] = {}
    contested: set[tuple[int, int]] = set()
    for number, step in enumerate(in_step(histories)):
        silver.take(step)
        contested |= silver.contested
        last_writes |= {case: silver.writes[case] for case, batches in enumerate(histories) if len(batches) == number + 1}
    silver.take([(case, change) for case, batches in enumerate(histories) for batch in batches for change in batch])
    versions, live = silver.versions(), silver.live()
    return [
        Outcome(
            versions.get(case, []),
            live.get(case, []),
            not last_writes.get(case),
            not silver.writes[case],
            {lsn for of, lsn in contested if of == case},
        )
        for case in range(len(histories))
    ]


@pytest.fixture(scope="module")
def outcomes(spark: SparkSession) -> dict[tuple[str, int], Outcome]:
    """Every case in each way of arriving, random histories and lossy ones: all in one Spark run a set of tracked columns."""
    found: dict[tuple[str, int], Outcome] = {}
    for tracked in (COLUMNS, NAME_ONLY):
        named: list[tuple[tuple[str, int], Batches]] = [
            ((case.name, way), batches) for case in CASES if case.tracked == tracked for way, batches in enumerate(_arrivals(case))
        ]
        kind = "/".join(tracked)
        many = _RANDOM_HISTORIES[tracked]
        named += [((f"random {kind}", seed), deliveries(World(seed, tracked).changes, seed)) for seed in range(many)]
        named += [((f"lossy {kind}", seed), deliveries(_lossy(seed), seed)) for seed in range(many // 4)]
        named += [((f"contested {kind}", seed), deliveries(_contested(seed), seed)) for seed in range(many // 4)]
        with compiled(spark):
            found |= dict(zip((name for name, _ in named), _carry(spark, tracked, [batches for _, batches in named]), strict=True))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_ends_as_written_however_it_arrives(case: Case, outcomes: dict[tuple[str, int], Outcome]) -> None:
    for way in range(len(_arrivals(case))):
        outcome = outcomes[case.name, way]
        assert tuple(map(summary, outcome.versions)) in (case.versions, case.either), f"{case.doc}, arrival {way}"
        assert outcome.versions == outcomes[case.name, 0].versions, f"{case.doc}, arrival {way}"
        assert outcome.contested == set(case.contested), f"{case.doc}, arrival {way}"
        assert outcome.is_repeat_silent, f"{case.doc}, arrival {way}: all of it once more wrote something"
        assert outcome.live == _open_rows(outcome.versions), f"{case.doc}, arrival {way}"
    assert outcomes[case.name, 0].is_last_silent or not case.is_silent, f"{case.doc}: the batch wrote something"


@pytest.mark.parametrize("tracked", [COLUMNS, NAME_ONLY], ids="/".join)
def test_random_histories_equal_the_truth(tracked: tuple[str, ...], outcomes: dict[tuple[str, int], Outcome]) -> None:
    kind, many = "/".join(tracked), _RANDOM_HISTORIES[tracked]
    for seed in range(many):
        outcome = outcomes[f"random {kind}", seed]
        assert outcome.versions == World(seed, tracked).truth, f"world {seed}"
        assert outcome.is_repeat_silent, f"world {seed}"
        assert outcome.live == _open_rows(outcome.versions), f"world {seed}"
    for seed in range(many // 4):
        assert outcomes[f"lossy {kind}", seed].versions == Rules(tracked).fold(_lossy(seed)), f"lossy world {seed}"
        assert outcomes[f"contested {kind}", seed].versions == Rules(tracked).fold(_contested(seed)), f"contested world {seed}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_oracle_knows_the_case(case: Case) -> None:
    folded = Rules(case.tracked).fold(change for batch in case.batches for change in batch)
    assert tuple(map(summary, folded)) in (case.versions, case.either)


@pytest.mark.parametrize("tracked", [COLUMNS, NAME_ONLY], ids="/".join)
def test_the_oracle_equals_the_truth_in_any_order(tracked: tuple[str, ...]) -> None:
    assert _wrong(lambda: Rules(tracked), tracked) == 0


class ByArrival(Rules):
    """A planted fault: changes stand in the order they came."""

    def ordered(self, changes: list[Change]) -> list[Change]:
        return changes


class ByTime(Rules):
    """A planted fault: changes stand in order of commit time."""

    def ordered(self, changes: list[Change]) -> list[Change]:
        return sorted(changes, key=lambda change: change.at_us)


class ByOffset(Rules):
    """A planted fault: a record is known by its Kafka offset."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        return list({change.offset: change for change in changes}.values())

    def ordered(self, changes: list[Change]) -> list[Change]:
        return sorted(changes, key=lambda change: change.offset or 0)


class ByLsnAlone(Rules):
    """A planted fault: a position is taken for the name of a record."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        return list({(change.epoch, change.lsn): change for change in changes}.values())


class OldKeyIgnored(Rules):
    """A planted fault: the new row of a key change is taken for any other."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        return [replace(change, linked=None) for change in super().distinct(changes)]


class TruncatesIgnored(Rules):
    """A planted fault: truncates are left out, as Debezium does by default."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        return [change for change in super().distinct(changes) if change.kind != "truncate"]


class NoOpsForgotten(Rules):
    """A planted fault: an update that repeats the row before it, as it came in, is dropped for good."""

    def distinct(self, changes: Sequence[Change]) -> list[Change]:  # type: ignore[override]
        kept: list[Change] = []
        for change in super().distinct(changes):
            known = [k for k in kept if k.key == change.key and (k.epoch, k.lsn) < (change.epoch, change.lsn)]
            if not known or change.values is None or max(known, key=lambda k: (k.epoch, k.lsn)).values != change.values:
                kept.append(change)
        return kept


@pytest.mark.parametrize("fault", [ByArrival, ByTime, ByOffset, ByLsnAlone, OldKeyIgnored, TruncatesIgnored, NoOpsForgotten])
def test_a_planted_fault_is_seen(fault: Callable[..., Rules]) -> None:
    assert _wrong(lambda: fault(COLUMNS), COLUMNS, worlds=500) > 10


@pytest.mark.parametrize("order", [("_offset",), ("_commit_at", "_rank", "_lsn")], ids=["by arrival", "by time"])
def test_a_fault_planted_in_the_transform_is_seen(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]) -> None:
    monkeypatch.setattr(ordering, "ORDER", order)
    worlds = [World(seed) for seed in range(60)]
    # Shuffled records get their offsets as they arrive, as a carrier that reorders would give them.
    arrived = [[[replace(c, offset=n) for n, c in enumerate(random.Random(w.seed).sample(w.changes, len(w.changes)))]] for w in worlds]
    outcomes = _carry(spark, COLUMNS, arrived)
    assert sum(outcome.versions != world.truth for world, outcome in zip(worlds, outcomes, strict=True)) > 5


def _wrong(rules: Callable[[], Rules], tracked: tuple[str, ...], worlds: int = _WORLDS) -> int:
    """Of that many random worlds, those whose history the rules get wrong."""
    made = (World(seed, tracked) for seed in range(worlds))
    return sum(rules().fold(c for batch in deliveries(w.changes, w.seed) for c in batch) != w.truth for w in made)


def _open_rows(versions: Sequence[Version]) -> list[tuple[str | None, ...]]:
    assert all(UNCHANGED not in version.values for version in versions), "a placeholder reached silver"
    return sorted(((*version.key, *version.values) for version in versions if version.to_us is None), key=str)
