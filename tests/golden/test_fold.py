"""The rules of history: every case and many random histories through the fold, against an independent oracle."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakehouse.transforms.heavy import workers
from lakehouse.transforms.history import order
from tests.golden import heavy
from tests.golden.memory import Silver
from tests.golden.notation import Case, read_case, summary
from tests.golden.oracle import COLUMNS, UNCHANGED, Change, Rules, Version
from tests.golden.world import World, deliveries

CASES = [read_case(path) for path in sorted((Path(__file__).parent / "history").glob("*.toml"))]
NAME_ONLY = ("name",)
# Numbers of random histories by tracked columns, in `make check` and in `make test`; a quarter as many are lossy or contested.
_FEW = {COLUMNS: 2000, NAME_ONLY: 400}
_MANY = {COLUMNS: 16_000, NAME_ONLY: 4000}

Batches = Sequence[Sequence[Change]]


def arrivals(case: Case) -> list[Batches]:
    """A case as written, all at once, backwards in three batches, and shuffled with repeats."""
    changes = [change for batch in case.batches for change in batch]
    third = -(-len(changes) // 3)
    backwards = [changes[::-1][start : start + third] for start in range(0, len(changes), third)]
    return [case.batches, [changes], backwards, *(deliveries(changes, seed) for seed in range(2))]


def lossy(seed: int) -> list[Change]:
    """A random history with lost changes: values stay unresolved, and keys may begin with a delete."""
    chance = random.Random(seed)
    # Both halves of a key change are one message: they are lost together.
    lost = {change.lsn for change in World(seed).changes if chance.random() < 0.2}
    return [change for change in World(seed).changes if change.lsn not in lost]


def contested(seed: int) -> list[Change]:
    """A random history in which some records are delivered again with other content."""
    chance = random.Random(seed)
    changes = World(seed).changes
    others = [replace(c, values=("c", "z"), offset=(c.offset or 0) + 500) for c in changes if c.values and chance.random() < 0.2]
    return [*changes, *others]


_KINDS: tuple[Callable[[int], list[Change]], ...] = (lambda seed: World(seed).changes, lossy, contested)


_CALLERS: tuple[Callable[[Silver, Sequence[Change]], int], ...] = (Silver.take, heavy.take, Silver.rebuild, heavy.take, heavy.rebuild)


def _carried(batches: Batches, tracked: Sequence[str] = COLUMNS) -> Silver:
    silver = Silver(tuple(tracked))
    for batch in batches:
        silver.take(batch)
    return silver


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_has_its_expected_history_in_any_order_of_arrival(case: Case) -> None:
    for way, batches in enumerate(arrivals(case)):
        silver = Silver(case.tracked)
        written = [silver.take(batch) for batch in batches]
        assert tuple(map(summary, silver.versions())) in (case.versions, case.either), f"{case.doc}, arrival {way}"
        assert silver.contested == set(case.contested), f"{case.doc}, arrival {way}"
        assert silver.live() == open_rows(silver.versions()), f"{case.doc}, arrival {way}"
        assert way or not case.is_silent or not written[-1], f"{case.doc}: the batch wrote something"
        assert not silver.take([change for batch in batches for change in batch]), (
            f"{case.doc}, arrival {way}: a repetition wrote something"
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_has_its_expected_history_by_the_heavy_caller(case: Case) -> None:
    for way, batches in enumerate(arrivals(case)):
        silver = Silver(case.tracked)
        written = [heavy.take(silver, batch) for batch in batches]
        assert tuple(map(summary, silver.versions())) in (case.versions, case.either), f"{case.doc}, arrival {way}"
        assert silver.contested == set(case.contested), f"{case.doc}, arrival {way}"
        assert way or not case.is_silent or not written[-1], f"{case.doc}: the batch wrote something"
        assert not heavy.take(silver, [change for batch in batches for change in batch]), f"{case.doc}, arrival {way}: repeated"
        assert not heavy.rebuild(silver, []), f"{case.doc}, arrival {way}: folded from scratch it differs"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_folded_from_scratch_equals_its_batches(case: Case) -> None:
    silver = _carried(case.batches, case.tracked)
    assert not silver.rebuild([])


@pytest.mark.parametrize("tracked", [COLUMNS, NAME_ONLY], ids="/".join)
@pytest.mark.parametrize("many", [_FEW, pytest.param(_MANY, marks=pytest.mark.many)], ids=["few", "many"])
def test_random_histories_equal_the_truth(tracked: tuple[str, ...], many: dict[tuple[str, ...], int]) -> None:
    for seed in range(many[tracked]):
        world = World(seed, tracked)
        batches = deliveries(world.changes, seed)
        silver = _carried(batches, tracked)
        assert silver.versions() == world.truth, f"world {seed}"
        assert silver.live() == open_rows(world.truth), f"world {seed}"
        assert not any(silver.take(batch) for batch in batches), f"world {seed}: a repetition wrote something"
    for seed in range(many[tracked] // 4):
        assert _carried(deliveries(lossy(seed), seed), tracked).versions() == Rules(tracked).fold(lossy(seed)), f"lossy world {seed}"
        made = _carried(deliveries(contested(seed), seed), tracked)
        assert made.versions() == Rules(tracked).fold(contested(seed)), f"contested world {seed}"


@pytest.mark.parametrize("many", [600, pytest.param(5000, marks=pytest.mark.many)], ids=["few", "many"])
def test_alternating_light_heavy_and_rebuild_runs_equal_one_run(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ROWS_AT_A_TIME", 4)
    for seed in range(many):
        changes = _KINDS[seed % 3](seed)
        once = Silver()
        once.take(changes)
        in_turn = Silver()
        for number, batch in enumerate(deliveries(changes, seed, most=6)):
            _CALLERS[(number + seed) % len(_CALLERS)](in_turn, batch)
        # A contested record was found in one of the batches, or in both.
        assert in_turn.contested == once.contested or seed % 3 == 2
        assert _comparable(in_turn) == _comparable(once), f"world {seed}"


def _comparable(silver: Silver) -> list[Any]:
    """All stored rows, without the run and without the offset of a truncate, which depends on the delivery."""
    place = silver.form.place
    rows = [row for row in silver.rows.values() if row[place["_kind"]] != "truncate" or row[place["_last"]]]
    write = [n for name, n in place.items() if name not in ("_run", "_offset")]
    offsets = sorted(str((row[:2], row[place["_lsn"]], row[place["_offset"]])) for row in rows if row[place["_kind"]] != "truncate")
    return [sorted((tuple(row[n] for n in write) for row in rows), key=str), offsets]


@pytest.mark.parametrize(
    "wrong", [lambda step: step.offset or 0, lambda step: (step.commit_at, step.rank, step.lsn)], ids=["arrival", "time"]
)
def test_an_injected_wrong_order_is_detected(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "sort_key", wrong)
    assert _wrong_worlds() > 20


def test_an_injected_fault_in_lateness_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "is_late", lambda step, newest: False)
    assert _wrong_worlds() > 20


def test_dropped_no_ops_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    write = Silver._write

    def dropping(silver: Silver, made: Any) -> int:
        made.rows = [written for written in made.rows if written.row[silver._visible] or written.row[silver._last] or written.old]
        return write(silver, made)

    monkeypatch.setattr(Silver, "_write", dropping)
    assert _wrong_worlds() > 5


def _wrong_worlds() -> int:
    """The number of 300 random worlds, with offsets in order of arrival, for which the fold is wrong."""
    wrong = 0
    for seed in range(300):
        world = World(seed)
        arrived = [replace(c, offset=n) for n, c in enumerate(random.Random(seed).sample(world.changes, len(world.changes)))]
        try:
            silver = _carried([arrived[: len(arrived) // 2], arrived[len(arrived) // 2 :]])
            wrong += silver.versions() != world.truth
        except (AssertionError, TypeError):
            wrong += 1  # it overwrote a row it had not read, or wrote a version without a start
    return wrong


def test_a_cycle_of_moves_terminates() -> None:
    def half(old: str, new: str, lsn: int) -> Change:
        return Change(key=(new, ""), kind="upsert", lsn=lsn, at_us=lsn, offset=lsn, values=(UNCHANGED, "x"), txid=lsn, linked=(old, ""))

    circle = [half("a", "b", 10), half("b", "a", 10), half("c", "c", 10)]
    silver = _carried([circle, circle[::-1]])
    assert {version.key for version in silver.versions()} == {("a", ""), ("b", ""), ("c", "")}
    assert not silver.take(circle)


def test_a_row_that_moves_a_thousand_times_keeps_its_value() -> None:
    first = Change(key=("0", ""), kind="upsert", lsn=1, at_us=1, offset=0, values=("a", "big"), txid=1)
    moves = [
        Change(
            key=(str(n), ""), kind="upsert", lsn=2 * n, at_us=2 * n, offset=n, values=("b", UNCHANGED), txid=2 * n, linked=(str(n - 1), "")
        )
        for n in range(1, 3000)
    ]
    silver = _carried([[first, *moves[::-1]]])
    assert silver.live() == [("2999", "", "b", "big")]


def open_rows(versions: Sequence[Version]) -> list[tuple[str | None, ...]]:
    assert all(UNCHANGED not in version.values for version in versions), "a placeholder reached silver"
    return sorted(((*version.key, *version.values) for version in versions if version.to_us is None), key=str)
