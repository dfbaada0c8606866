"""Line 5: growth of a refine with its table and its changes, and its cost without changes.

One lake has ten times the keys of the other, with one version each; both were filled in key order. Local changes affect the newest
keys, the same number in both lakes; uniform ones are spread over all keys.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakehouse import tables
from lakehouse.settings import Settings
from lakehouse.silver import heavy_refine
from tests.bench import synthetic
from tests.bench.sides import Run, agree, compare, measured, timed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEYS = 1_000_000
CHANGES = 10_000
ROUNDS = 5
# Local changes affect this multiple of their number of newest keys.
_WINDOW = 5


def silver(settings: Settings) -> None:
    """Run this line in its own Spark process."""
    synthetic.run_apart(settings, f" 5  a refine of {CHANGES:,} changes on {KEYS:,} keys / on {KEYS // 10:,}", __name__)


def main() -> None:
    """Measure and report every ratio of the line."""
    parser = argparse.ArgumentParser(prog="tests.bench.growth")
    for name, value in (("keys", KEYS), ("changes", CHANGES), ("rounds", ROUNDS)):
        parser.add_argument(f"--{name}", type=int, default=value)
    size = parser.parse_args()
    with synthetic.scene() as (spark, made, _):
        small, large = made("small"), made("large")
        synthetic.grow(spark, small, size.keys // 10, 1)
        synthetic.grow(spark, large, size.keys, 1)
        runs: list[tuple[dict[str, Run], dict[str, Run]]] = []
        for number in range(size.rounds + 1):
            some = _round(spark, small, size.keys // 10, size.changes, number)
            rest = _round(spark, large, size.keys, size.changes, number)
            step = size.keys // size.changes // 10
            rest["tenfold"] = _refined(spark, large, range(number % step, size.keys, step), _turn(number, 3))
            runs.append((some, rest))
        measured = runs[1:]  # the first was the warm-up
        for kind, target in (("local", 1.2), ("uniform", 3)):
            what = f"{kind} keys, 10 times the table (target at most {target})"
            compare(what, [rest[kind] for _, rest in measured], [some[kind] for some, _ in measured])
        what = "10 times the changes (target at most 8)"
        compare(what, [rest["tenfold"] for _, rest in measured], [rest["uniform"] for _, rest in measured])
        _nothing_new(spark, large, size.rounds)


def _round(spark: SparkSession, lake: Settings, keys: int, changes: int, number: int) -> dict[str, Run]:
    """A refine of local and one of uniform changes, after a small one that is not measured, which absorbs the cost of a new catalog."""
    synthetic.use(spark, lake)
    _refined(spark, lake, range(1), _turn(number, 0))
    window = range(keys - _WINDOW * changes + number % _WINDOW, keys, _WINDOW)
    step = keys // changes
    return {
        "local": _refined(spark, lake, window, _turn(number, 1)),
        "uniform": _refined(spark, lake, range(number % step, keys, step), _turn(number, 2)),
    }


def _turn(number: int, kind: int) -> int:
    """A turn later than all earlier ones."""
    return 10 * (number + 1) + kind


def _refined(spark: SparkSession, lake: Settings, keys: Sequence[int], turn: int) -> Run:
    synthetic.land(spark, synthetic.picked(spark, keys, turn))
    run = measured(lambda: heavy_refine.run(spark, lake, "users"))
    newest = spark.sql(f"SELECT count(*) FROM silver.users WHERE full_name LIKE '% of turn {turn}'").first()
    agree("line 5", [newest or ()], [(len(keys),)])
    return run


def _nothing_new(spark: SparkSession, lake: Settings, rounds: int) -> None:
    """All source tables, one after another, without new records in bronze."""
    names = [table.name for table in tables.SOURCES]

    def every() -> list[tuple[bool, int]]:
        done = [heavy_refine.run(spark, lake, name) for name in names]
        return [(result.changed, result.records) for result in done]

    every()
    seconds = []
    for _ in range(rounds + 1):
        took_s, found = timed(every)
        agree("no change", found, [(False, 0)] * len(names))
        seconds.append(took_s)
    rest = seconds[1:]  # the first was the warm-up
    print(
        f"    no change, {len(names)} tables one after another (target under 0.5 s): median {statistics.median(rest):.2f} s "
        f"({min(rest):.2f} to {max(rest):.2f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
