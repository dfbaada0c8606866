"""Line 13: the effect of compaction: a compacted lake written in a thousand small commits, against one written in a few.

Both contain the same changes of users. Each round lands the same new changes in both, refines them, and runs a board's question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashboards.metabase import files as questions
from lakehouse.lake import compaction, storage
from lakehouse.settings import Settings
from lakehouse.silver import heavy_refine
from tests.bench import synthetic
from tests.bench.sides import agree, report, timed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEYS = 100_000
CHANGES = 10_000
COMMITS = 1000
REFINES = 200
ROUNDS = 3
_QUESTION = "customers_tier_moves"


def compaction_line(settings: Settings) -> None:
    """Run this line in its own Spark process."""
    synthetic.run_apart(
        settings, f"13  {COMMITS:,} bronze and {REFINES} silver commits, compacted / the same changes written in a few", __name__
    )


def main() -> None:
    """Write both lakes, compact the aged one, and compare."""
    with synthetic.scene() as (spark, made, _):
        fresh, aged = made("fresh"), made("aged")
        _write(spark, fresh, commits=1, refines=1)
        _write(spark, aged, commits=COMMITS, refines=REFINES)
        for name in (storage.BRONZE, "silver.users_changes"):
            print(f"    {_report(compaction.run(spark, aged, name, is_vacuum_due=True))}", flush=True)
        runs: list[tuple[dict[str, float], dict[str, float]]] = []
        for number in range(ROUNDS + 1):
            old, young = _round(spark, aged, number), _round(spark, fresh, number)
            agree("line 13", old.pop("rows"), young.pop("rows"))
            runs.append((old, young))
        for what in ("refine", "question"):
            ratios = [old[what] / young[what] for old, young in runs[1:]]
            report(
                f"{what}, aged and compacted / fresh (target at most 1.2)", ratios, f"{runs[-1][0][what]:.2f} s / {runs[-1][1][what]:.2f} s"
            )


def _write(spark: SparkSession, lake: Settings, *, commits: int, refines: int) -> None:
    """Land a first change of every key in one commit and a second one in `commits`, with that many refines."""
    synthetic.use(spark, lake)
    synthetic.land(spark, synthetic.picked(spark, range(KEYS), 0))
    heavy_refine.run(spark, lake, "users")
    each = KEYS // commits
    for number in range(commits):
        synthetic.land(spark, synthetic.picked(spark, range(number * each, (number + 1) * each), 1))
        if (number + 1) % (commits // refines) == 0:
            heavy_refine.run(spark, lake, "users")


def _round(spark: SparkSession, lake: Settings, number: int) -> dict[str, Any]:
    """Seconds of a refine of new changes, the same in both lakes, and of the question; and its rows."""
    synthetic.use(spark, lake)
    synthetic.land(spark, synthetic.picked(spark, range(CHANGES), 2 + number))
    refined_s, _ = timed(lambda: heavy_refine.run(spark, lake, "users"))
    text = questions.questions()[_QUESTION].render({})
    query_s, rows = timed(lambda: [tuple(row) for row in spark.sql(text).collect()])
    return {"refine": refined_s, "question": query_s, "rows": rows}


def _report(result: compaction.CompactResult) -> str:
    before, after = (
        f"{found.count:,} files, {found.small:,} of them small, {found.bytes:,} bytes" for found in (result.before, result.after)
    )
    return f"{result.table}: {before}; compacted {after}"


if __name__ == "__main__":
    main()
