"""Line 6: the cost of a refine of type 2 history, against Spark's textbook forms, a rebuild, longer histories and late changes.

Keys are uniform, the worst case for every side: each file of the table is touched. Live rows are compared by hash after every round,
before its ratio is reported; the rebuild's whole history is compared. The lakes with ten versions have fewer keys, the same in both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import platform_tables, tables
from lakehouse.lake import storage
from lakehouse.settings import Settings
from lakehouse.silver import heavy_refine, rebuild
from tests.bench import native, synthetic, textbook
from tests.bench.sides import Run, agree, compare, measured

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEYS = 1_000_000
HISTORY_KEYS = 200_000
CHANGES = 10_000
VERSIONS = (3, 10)
ROUNDS = 5
# JIT compilation takes half the time of the first refine and a tenth of the eighth's; the running Spark server is past it.
WARM_UP = 7
REBUILDS = 2
_FORMS: dict[str, Callable[[SparkSession, str], None]] = {
    "close-and-insert MERGE": textbook.close_and_insert,
    "dbt snapshot": textbook.snapshot,
}
_VERSION = ", ".join([*tables.source("users").column_names, *platform_tables.HISTORY_COLUMNS[:5]])


@dataclass
class Bench:
    """The session, its current lake, the sizes, and the turn of the last change."""

    spark: SparkSession
    lake: Settings
    folder: Path
    keys: int
    changes: int
    turn: int = 10

    def land(self, late: int = 0, again: int = 0) -> int:
        """Land one change of every n-th key, different keys each time, and return bronze's version; a repeat has the same keys."""
        self.turn += not again and not late
        step = self.keys // self.changes
        picked = synthetic.picked(self.spark, range(self.turn % step, self.keys, step), 0 if late else self.turn)
        return synthetic.land(self.spark, picked, late, again)

    def refine(self) -> Run:
        """Refine the landed changes."""
        return measured(lambda: heavy_refine.run(self.spark, self.lake, "users"))

    def live(self) -> tuple[int, int]:
        """Count and hash of the live rows."""
        return textbook.hashed(self.spark, "silver.users")

    def history(self) -> tuple[int, int]:
        """Count and hash of all versions."""
        return textbook.hashed(self.spark, "silver.users_history", _VERSION)


def scd2(settings: Settings) -> None:
    """Run this line in its own Spark process."""
    head = f" 6  SCD2: a refine of {CHANGES:,} changes on {KEYS:,} keys of {VERSIONS[0]} versions"
    synthetic.run_apart(settings, head, __name__)


def main() -> None:
    """Measure and report every ratio of the line."""
    size = _size()
    with synthetic.scene() as (spark, made, folder):
        bench = Bench(spark=spark, lake=made("wide"), folder=folder, keys=size.keys, changes=size.changes)
        synthetic.grow(spark, bench.lake, bench.keys, VERSIONS[0])
        _against_textbook(bench, size.rounds)
        _late(bench, size.rounds)
        _again(bench)
        _against_rebuild(bench)
        few = replace(bench, keys=size.history_keys, changes=min(size.changes, size.history_keys // 2))
        _longer([replace(few, lake=made(f"deep-{versions}")) for versions in VERSIONS], size.rounds)


def _size() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.histories")
    for name, value in (("keys", KEYS), ("history-keys", HISTORY_KEYS), ("changes", CHANGES), ("rounds", ROUNDS)):
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def _against_textbook(bench: Bench, rounds: int) -> None:
    """Refine and every peer process the same changes in turns, with the same live rows after each."""
    peers = {f"{name}{vectors}": (form, bool(vectors)) for vectors in ("", ", deletion vectors") for name, form in _FORMS.items()}
    places = {name: f"peer.form_{number}" for number, name in enumerate(peers)}
    bench.spark.sql(f"CREATE SCHEMA peer LOCATION 'file://{bench.folder}/peer'")
    for name, (_, has_vectors) in peers.items():
        textbook.fill(bench.spark, places[name], has_deletion_vectors=has_vectors)
    path = bench.folder / "native"
    if native.IS_INSTALLED:
        native.fill(path, bench.spark.read.table("silver.users").toArrow())
    runs: dict[str, list[Run]] = {name: [] for name in ("refine", *peers, "delta-rs")}
    for _ in range(WARM_UP + rounds):
        version = bench.land()
        runs["refine"].append(bench.refine())
        for name, (form, _) in peers.items():
            runs[name].append(measured(partial(_textbook, bench.spark, form, places[name], version)))
            agree(name, [bench.live()], [textbook.hashed(bench.spark, f"{places[name]} WHERE ended_at IS NULL")])
        if native.IS_INSTALLED:
            typed = textbook.changes(bench.spark, version, version).drop("commit_at").toArrow()
            runs["delta-rs"].append(measured(partial(native.upsert, path, typed)))
    for name in peers:
        target = " (target at least 2)" if name in _FORMS else ""
        compare(f"{name} / refine{target}", runs[name][WARM_UP:], runs["refine"][WARM_UP:])
    if native.IS_INSTALLED:
        compare("refine / delta-rs's upsert of typed changes", runs["refine"][WARM_UP:], runs["delta-rs"][WARM_UP:])
    else:
        print("    delta-rs is not installed: `pip install deltalake` beside the bench shows the native limit")


def _textbook(spark: SparkSession, form: Callable[[SparkSession, str], None], table: str, version: int) -> None:
    textbook.changes(spark, version, version).createOrReplaceTempView("changes")
    form(spark, table)


def _late(bench: Bench, rounds: int) -> None:
    """Changes between a key's first version and its second, in turns with changes in order."""
    runs = []
    for number in range(rounds + 1):
        bench.land()
        in_order = bench.refine()
        before = bench.history()[0]
        bench.land(late=1 + number)
        late = bench.refine()
        agree("late changes", [(before + bench.changes,)], [(bench.history()[0],)])
        runs.append((late, in_order))
    compare("late / in order (target at most 2)", [run[0] for run in runs[1:]], [run[1] for run in runs[1:]])


def _again(bench: Bench) -> None:
    """The last changes, delivered and refined again."""
    for late, name in ((0, "in order"), (1, "late")):
        bench.land(late)
        bench.refine()
        before = storage.silver_version(bench.spark, tables.source("users"))
        bench.land(late, again=1)
        done = heavy_refine.run(bench.spark, bench.lake, "users")
        after = storage.silver_version(bench.spark, tables.source("users"))
        print(
            f"    {done.records:,} changes {name}, delivered again: silver at version {before}, then {after} (target: the same)", flush=True
        )


def _against_rebuild(bench: Bench) -> None:
    """A refine with changes of one in a hundred keys, and a rebuild of the same table from bronze."""
    runs = []
    for _ in range(REBUILDS):
        bench.land()
        refined = bench.refine()
        history = bench.history()
        rebuilt = measured(lambda: rebuild.run(bench.spark, bench.lake, "users"))
        agree("a rebuild", [bench.history()], [history])
        runs.append((rebuilt, refined))
    compare("rebuild / refine (target at least 10)", [run[0] for run in runs], [run[1] for run in runs])


def _longer(lakes: Sequence[Bench], rounds: int) -> None:
    """The same changes on the same keys with few and with many versions each."""
    for each, versions in zip(lakes, VERSIONS, strict=True):
        synthetic.grow(each.spark, each.lake, each.keys, versions)
    runs = []
    for _ in range(rounds + 1):
        pair = []
        for each in lakes:
            synthetic.use(each.spark, each.lake)
            each.land()
            each.refine()  # not measured: absorbs the cost of a new catalog
            each.land()
            pair.append(each.refine())
        runs.append(pair)
    what = f"{VERSIONS[1]} / {VERSIONS[0]} versions a key, {lakes[0].keys:,} keys (target at most 1.2)"
    compare(what, [run[1] for run in runs[1:]], [run[0] for run in runs[1:]])


if __name__ == "__main__":
    main()
