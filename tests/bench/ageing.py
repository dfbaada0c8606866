"""Line 13: what compaction gives back: a lake written in a thousand small commits, once compacted, against one written in a few.

Both hold the same changes of users. Each round lands the same new changes in both, refines them, and asks both a board's question.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import compact
import refine
from dashboards.metabase import files as questions
from lakehouse import catalog, ddl, ledger, session, storage
from lakehouse.settings import PROJECT, Settings
from tests.bench import scratch
from tests.bench.sides import agree, begin, tell, timed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

KEYS = 100_000
CHANGES = 10_000
COMMITS = 1000
REFINES = 200
ROUNDS = 3
_ASKED = "customers_tier_moves"
_TIERS = "array('bronze', 'silver', 'gold')"


def compaction(settings: Settings) -> None:
    """Run this line in a Spark process of its own."""
    begin(f"13  {COMMITS:,} bronze and {REFINES} silver commits, compacted / the same changes written in a few")
    done = subprocess.run([sys.executable, "-m", "tests.bench.ageing"], cwd=PROJECT, env=dict(os.environ), check=False)
    if done.returncode:
        sys.exit(f"bench: line 13 ended with {done.returncode}")


def main() -> None:
    """Write both lakes, compact the old one, and compare."""
    settings = Settings.from_environment()
    spark = session.classic(settings, metastore=False)
    spark.sparkContext.setLogLevel("ERROR")
    with scratch.folder(settings) as folder:
        fresh, aged = (replace(settings, lake=f"file://{folder}/{name}") for name in ("fresh", "aged"))
        _write(spark, fresh, commits=1, refines=1)
        _write(spark, aged, commits=COMMITS, refines=REFINES)
        for name in (storage.BRONZE, "silver.users_changes"):
            print(f"    {_report(compact.run(spark, aged, name, is_vacuum_due=True))}", flush=True)
        runs: list[tuple[dict[str, float], dict[str, float]]] = []
        for number in range(ROUNDS + 1):
            old, young = _round(spark, aged, number), _round(spark, fresh, number)
            agree("line 13", old.pop("rows"), young.pop("rows"))
            runs.append((old, young))
        for what in ("refine", "question"):
            ratios = [old[what] / young[what] for old, young in runs[1:]]
            tell(
                f"{what}, aged and compacted / fresh (target at most 1.2)", ratios, f"{runs[-1][0][what]:.2f} s / {runs[-1][1][what]:.2f} s"
            )


def _write(spark: SparkSession, lake: Settings, *, commits: int, refines: int) -> None:
    """A first change of every key in one commit, a second in so many, refined so often."""
    _use(spark, lake)
    _land(spark, 0, 0, KEYS)
    refine.run(spark, lake, "users")
    each = KEYS // commits
    for number in range(commits):
        _land(spark, 1, number * each, (number + 1) * each)
        if (number + 1) % (commits // refines) == 0:
            refine.run(spark, lake, "users")


def _round(spark: SparkSession, lake: Settings, number: int) -> dict[str, Any]:
    """Seconds of a refine of new changes of the same keys in both lakes, and of the question; and its rows."""
    _use(spark, lake)
    _land(spark, 2 + number, 0, CHANGES)
    refined_s, _ = timed(lambda: refine.run(spark, lake, "users"))
    text = questions.questions()[_ASKED].render({})
    asked_s, rows = timed(lambda: [tuple(row) for row in spark.sql(text).collect()])
    return {"refine": refined_s, "question": asked_s, "rows": rows}


def _use(spark: SparkSession, lake: Settings) -> None:
    """Have the session's catalog show that lake; its files stay where they are when it shows another."""
    for name in [*ddl.view_names(), *(table.full_name for table in ddl.stored_tables())]:
        if spark.catalog.databaseExists(name.split(".")[0]) and spark.catalog.tableExists(name):
            spark.sql(f"DROP {'VIEW' if name in ddl.view_names() else 'TABLE'} {name}")
    catalog.bring_up(spark, lake)


def _land(spark: SparkSession, turn: int, first: int, last: int) -> None:
    """One commit to bronze: change number `turn` of the users `first` to `last`, each a transaction of its own."""
    _changes(spark, turn, first, last).write.format("delta").mode("append").insertInto(storage.BRONZE)


def _changes(spark: SparkSession, turn: int, first: int, last: int) -> DataFrame:
    place = f"{turn} * {KEYS} + id"
    op = "c" if turn == 0 else "u"
    at = f"timestamp_seconds(1767225600 + {turn} * 3600 + id % 3600)"
    where = f"'schema', 'shop', 'table', 'users', 'lsn', {place}, 'txId', {place}"
    source = f"named_struct({where}, 'ts_us', unix_micros({at}), 'sequence', '[null]')"
    after = (
        f"named_struct('user_id', id, 'email', concat('u', id, '@x.io'), 'tier', element_at({_TIERS}, CAST(1 + (id + {turn}) % 3 AS INT)))"
    )
    columns = {
        "source_table": "'users'",
        "_landed_on": f"date({at})",
        "_landed_at": at,
        "topic": f"'{ledger.topic('users')}'",
        "partition": "0",
        "offset": place,
        "kafka_at": at,
        "key": "encode(to_json(named_struct('user_id', id)), 'UTF-8')",
        "value": f"encode(to_json(named_struct('op', '{op}', 'source', {source}, 'after', {after})), 'UTF-8')",
        "headers": f"CAST(array() AS {ledger.CHANGES.column('headers').type})",
        "epoch": "1",
        "op": f"'{op}'",
        "lsn": place,
        "sequence": "'[null]'",
        "txid": place,
        "commit_at": at,
    }
    typed = [f"CAST({columns[column.name]} AS {column.type}) AS `{column.name}`" for column in ledger.CHANGES.columns]
    return spark.range(first, last, numPartitions=1).selectExpr(*typed)


def _report(result: compact.CompactResult) -> str:
    before, after = (
        f"{found.count:,} files, {found.small:,} of them small, {found.bytes:,} bytes" for found in (result.before, result.after)
    )
    return f"{result.table}: {before}; compacted {after}"


if __name__ == "__main__":
    main()
