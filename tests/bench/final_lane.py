"""Line 16: CPU of the final lane for each event, against the same events into Iceberg without repeats and profiles.

Both sides parse the same records and append them to an Iceberg table on a local disk; neither reads Kafka. The lane runs on a lake with
ten times the users of another one too. A visit has ten events, of which seven in ten have a user.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lakehouse import tables
from lakehouse.lake.lake import Lake
from lakehouse.live import iceberg
from lakehouse.live.final import FinalLane
from lakehouse.settings import Settings
from lakehouse.transforms.live import records
from tests.bench import synthetic
from tests.bench.sides import Run, measured, report

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

EVENTS = tables.live("events")
PLAIN = replace(EVENTS, name="plain")
ROWS = 60_000
USERS = 10_000
VERSIONS = 3
ROUNDS = 5
_MAX_BYTES = 64 * 1024
_ADDED = ("CAST(NULL AS STRING) AS user_region", "CAST(NULL AS STRING) AS user_tier", "false AS is_assumed")


def events(settings: Settings) -> None:
    """Run this line in its own Spark process."""
    synthetic.run_apart(settings, f"16  the final lane, {ROWS:,} events a round, {USERS:,} and {10 * USERS:,} users", __name__)


def main() -> None:
    """Measure and report every ratio of the line."""
    parser = argparse.ArgumentParser(prog="tests.bench.final_lane")
    for name, value in (("rows", ROWS), ("users", USERS), ("rounds", ROUNDS)):
        parser.add_argument(f"--{name}", type=int, default=value)
    size = parser.parse_args()
    jars = ":".join(f"{Settings.from_environment().home_dir}/jars/{name}/*" for name in ("spark", "iceberg"))
    options = os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-class-path {shlex.quote(jars)} {options}"
    with synthetic.scene() as (spark, made, folder):
        few, many = made("few"), made("many")
        for lake, users in ((few, size.users), (many, 10 * size.users)):
            synthetic.grow(spark, lake, users, VERSIONS)
        _use_disk(spark, folder)
        lanes = [_lane(spark, lake) for lake in (few, many)]
        runs: list[tuple[Run, Run, Run]] = []
        for number in range(size.rounds + 1):
            some, others, rest = (
                _records(spark, size.rows, 3 * number + side, users) for side, users in enumerate((size.users, 10 * size.users, size.users))
            )
            lane, more = (measured(partial(_final, spark, each, raw)) for each, raw in zip(lanes, (some, others), strict=True))
            runs.append((lane, more, measured(partial(_plain, rest))))
        _report(size.rows, runs[1:])  # the first was the warm-up


def _report(rows: int, runs: list[tuple[Run, Run, Run]]) -> None:
    spent = [1e6 * statistics.median(run[side].cpu_s for run in runs) / rows for side in range(3)]
    report(
        "CPU an event, final lane / plain append (target at most 3)",
        [lane.cpu_s / plain.cpu_s for lane, _, plain in runs],
        f"{spent[0]:.0f} / {spent[2]:.0f} us",
    )
    report(
        "ten times the users (target at most 1.2)",
        [more.cpu_s / lane.cpu_s for lane, more, _ in runs],
        f"{spent[1]:.0f} / {spent[0]:.0f} us",
    )


def _use_disk(spark: SparkSession, folder: Path) -> None:
    """Keep the catalog `iceberg` in a folder; it is read at its first use."""
    catalog = "spark.sql.catalog.iceberg"
    spark.conf.set(catalog, "org.apache.iceberg.spark.SparkCatalog")
    for name, value in (("type", "hadoop"), ("warehouse", f"file://{folder}/iceberg"), ("cache-enabled", "false")):
        spark.conf.set(f"{catalog}.{name}", value)
    iceberg.create(spark, [EVENTS, PLAIN])


def _lane(spark: SparkSession, lake: Settings) -> FinalLane:
    lane = FinalLane(spark, Lake(lake), lambda *_: None)
    lane._at = {EVENTS.name: {}}
    return lane


def _records(spark: SparkSession, rows: int, number: int, users: int) -> DataFrame:
    """Records of Kafka of one minute, each with other events; computed."""
    event: dict[str, Any] = {
        "event_id": f"format_string('%08x-0000-4000-8000-%012x', {number}, id)",
        "event_type": "'view'",
        "event_at": f"date_format(timestamp_seconds(1767312000 + {number} * 60 + id * 60 / {rows}), \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'\")",
        "visitor_id": "concat('v', id DIV 10)",
        "user_id": f"IF(id DIV 10 % 10 < 7, abs(hash(id DIV 10, {number})) % {users}, NULL)",
        "session_id": "concat('s', id DIV 10)",
        "product_id": "id % 200",
        "order_id": "CAST(NULL AS BIGINT)",
        "checkout_id": "CAST(NULL AS STRING)",
        "region": "element_at(array('AMER', 'EMEA', 'APAC', 'LATAM'), CAST(1 + id DIV 10 % 4 AS INT))",
        "country": "'DE'",
        "device": "'phone'",
        "page": "'/p'",
    }
    fields = ", ".join(f"'{name}', {value}" for name, value in event.items())
    value = f"encode(to_json(named_struct({fields}), map('ignoreNullFields', 'false')), 'UTF-8') AS value"
    place = (f"'{EVENTS.topic}' AS topic", "CAST(id % 3 AS INT) AS partition", f"{number} * {rows}L + id AS offset")
    at = f"timestamp_seconds(1767312001 + {number} * 60 + id * 60 / {rows}) AS timestamp"
    made = spark.range(rows, numPartitions=2).selectExpr("encode(concat('v', id DIV 10), 'UTF-8') AS key", value, *place, at)
    return made.localCheckpoint()


def _final(spark: SparkSession, lane: FinalLane, raw: DataFrame) -> None:
    read = records.read(raw, (EVENTS,), _MAX_BYTES).persist()
    reached = {str(EVENTS.topic): {"0": 0}}
    lane._append_events(records.rows(read, EVENTS), reached, reached)
    read.unpersist()


def _plain(raw: DataFrame) -> None:
    rows = records.rows(records.read(raw, (EVENTS,), _MAX_BYTES), EVENTS)
    iceberg.append(rows.selectExpr("*", *_ADDED).coalesce(1), PLAIN, {})


if __name__ == "__main__":
    main()
