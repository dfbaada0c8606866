"""Line 3: the rate from Kafka to bronze, of land's own query in a JVM with land's settings.

Three sides process the same envelopes in turns. The limit reads and parses them and writes nothing; the peer works without Spark.
Omitted are the peer's Delta log and confluent-kafka, which are not installed, and envelopes with embedded schemas, which the platform's
topics do not have.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
from pyspark.sql import functions as F

from infra.local.status import service_states
from lakehouse import platform_tables
from lakehouse.bronze import land
from lakehouse.lake import ddl, storage
from lakehouse.settings import PROJECT, Settings
from lakehouse.spark import session, submit
from lakehouse.transforms.records.placing import placed
from tests.bench import peer, scratch
from tests.bench.sides import Run, agree, begin, measured, report

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROUNDS = 3
VERSIONS = (100, 1000)
# Three appends of this many commits include one of the checkpoints that Delta writes every 50.
COMMITS = 15


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the sides share: the session, the platform's settings, topics with their number of records, and an output folder."""

    spark: SparkSession
    settings: Settings
    topics: dict[str, int]
    folder: Path
    processes: list[psutil.Process]

    def measured(self, side: Callable[[], object]) -> Run:
        """Run a side and measure it, the broker's CPU included."""
        return measured(side, self.processes)


def rate(settings: Settings) -> None:
    """Run this line in its own Spark process, so that the platform's are not disturbed."""
    begin(" 3  Kafka to bronze, land's query / limit (read and parse only) and / peer (kafka-python, DuckDB, Parquet)")
    log = settings.home_dir / "logs" / "bench.log"
    command = [*submit.command(settings, "land")[:-1], str(Path(__file__))]
    with log.open("w") as stream:
        done = subprocess.run(command, env={**os.environ, **submit.environment(settings)}, cwd=PROJECT, stderr=stream, check=False)
    if done.returncode:
        sys.exit(f"bench: line 3 ended with {done.returncode}. The last lines of {log}:\n{log.read_text()[-2000:]}")


def main() -> None:
    """Measure and report every ratio of the line; runs under spark-submit, whose JVM is this process's parent."""
    settings = Settings.from_environment()
    spark = session.classic(settings, "land")
    broker = next(service["pid"] for service in service_states(settings, {}) if service["name"] == "kafka")
    processes = [psutil.Process(), psutil.Process(os.getppid()), psutil.Process(broker)]
    with scratch.folder(settings) as folder, scratch.topics(spark, settings) as topics:
        bench = Bench(spark=spark, settings=settings, topics=topics, folder=folder, processes=processes)
        _against_limit_and_peer(bench)
        _by_table_age(bench)


def _against_limit_and_peer(bench: Bench) -> None:
    runs: list[tuple[Run, Run, Run]] = []
    for number in range(ROUNDS + 1):
        lake = scratch.lake(bench.spark, bench.settings, bench.folder / f"land-{number}")
        beside = bench.folder / f"peer-{number}"
        landed = bench.measured(partial(_land, bench, lake, list(bench.topics)))
        limit = bench.measured(partial(_parse_only, bench, bench.folder / f"limit-{number}"))
        peers = bench.measured(partial(peer.land, bench.settings, list(bench.topics), beside))
        agree("line 3", [_counted(bench.spark, lake)], [peer.counted(beside)])
        runs.append((landed, limit, peers))
    measured = runs[1:]  # the first was the warm-up
    total = sum(bench.topics.values())
    for name, other, target in (("limit", 1, "0.7"), ("peer", 2, "0.35")):
        walls = [run[other].wall_s / run[0].wall_s for run in measured]
        rates = [total / statistics.median(run[side].wall_s for run in measured) for side in (0, other)]
        report(f"rate, land / {name} (target at least {target})", walls, f"{rates[0]:,.0f} / {rates[1]:,.0f} envelopes a second")
        cpus = [run[0].cpu_s / run[other].cpu_s for run in measured]
        spent = [1e6 * statistics.median(run[side].cpu_s for run in measured) / total for side in (0, other)]
        report(f"CPU seconds, land / {name}", cpus, f"{spent[0]:.0f} / {spent[1]:.0f} us an envelope, the broker's included")


def _by_table_age(bench: Bench) -> None:
    """The same append to tables with a hundred and a thousand versions, with the smallest topic, so that commits dominate."""
    topic, records = min(bench.topics.items(), key=lambda entry: entry[1])
    small = replace(bench.settings, max_offsets_per_trigger=max(records // COMMITS, 1))
    young = scratch.lake(bench.spark, small, bench.folder / "young")
    _land(bench, young, [topic])
    lakes = [scratch.aged(young, bench.folder / f"aged-{versions}", versions) for versions in VERSIONS]
    before = [_bronze(bench.spark, lake).count() for lake in lakes]
    runs = [[bench.measured(partial(_land, bench, lake, [topic])) for lake in lakes] for _ in range(ROUNDS + 1)][1:]
    for lake, rows in zip(lakes, before, strict=True):
        if (added := _bronze(bench.spark, lake).count() - rows) != (ROUNDS + 1) * records:
            sys.exit(f"bench: {ROUNDS + 1} appends of {records} rows added {added}")
    medians = [statistics.median(run[side].wall_s for run in runs) for side in (0, 1)]
    what = f"{COMMITS} commits to a table of {VERSIONS[1]:,} versions / of {VERSIONS[0]} (target at most 1.15)"
    report(what, [old.wall_s / fresh.wall_s for fresh, old in runs], f"{medians[1]:.1f} s / {medians[0]:.1f} s, {records:,} rows")


def _land(bench: Bench, lake: Settings, topics: list[str]) -> None:
    """Land all records of these topics, from the beginning."""
    shutil.rmtree(urlsplit(lake.land_checkpoint).path, ignore_errors=True)
    land.start(bench.spark, lake, topics, is_backlog=True).awaitTermination()


def _parse_only(bench: Bench, checkpoint: Path) -> None:
    rows = placed(storage.kafka_records(bench.spark, bench.settings, list(bench.topics)), F.current_timestamp())
    writer = rows.writeStream.format("noop").option("checkpointLocation", str(checkpoint))
    query = writer.trigger(availableNow=True).start()
    query.awaitTermination()
    read = sum(progress.numInputRows for progress in query.recentProgress)
    if read != sum(bench.topics.values()):
        sys.exit(f"bench: the limit has read {read} of {sum(bench.topics.values())} envelopes")


def _counted(spark: SparkSession, lake: Settings) -> tuple[int, int, int]:
    """Rows, and the sums of their offsets and positions."""
    found = _bronze(spark, lake).agg(F.count("*"), F.sum("offset"), F.sum("lsn")).first()
    assert found
    return found[0], found[1], found[2]


def _bronze(spark: SparkSession, lake: Settings) -> DataFrame:
    # By path: the catalog refers to the lake created last.
    return spark.read.format("delta").load(ddl.location(lake, platform_tables.CHANGES))


if __name__ == "__main__":
    main()
