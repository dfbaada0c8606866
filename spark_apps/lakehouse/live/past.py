"""Events of past days from files, one JSON object a line in the format of the topic: what a stream would find late.

The files are in the folder `data/visits` of EBAP_HOME, as `python -m generator visits` writes them; each is loaded once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import tables
from lakehouse.errors import EbapError
from lakehouse.settings import Settings
from lakehouse.transforms.live import records

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

EVENTS = tables.live("events")
_RECORD = (
    f"'{EVENTS.topic}' AS topic",
    "CAST(NULL AS BINARY) AS key",
    "CAST(value AS BINARY) AS value",
    "CAST(NULL AS INT) AS partition",
    "CAST(NULL AS BIGINT) AS offset",
    "CAST(NULL AS TIMESTAMP) AS timestamp",
)


def pending(settings: Settings, loaded: Collection[str]) -> list[Path]:
    """The files that are not loaded yet."""
    return [path for path in sorted((settings.home_dir / "data" / "visits").glob("*.jsonl.gz")) if path.name not in loaded]


def read(spark: SparkSession, settings: Settings, paths: Sequence[Path]) -> DataFrame:
    """The events of these files, as `records.rows` gives them; EbapError naming the file with a line that is not an event."""
    return reduce(lambda one, other: one.unionByName(other), [_read(spark, settings, path) for path in paths])


def _read(spark: SparkSession, settings: Settings, path: Path) -> DataFrame:
    lines = spark.read.text(str(path)).selectExpr(*_RECORD)
    found = records.read(lines, (EVENTS,), settings.max_event_kb * 1024).persist()
    wrong = found.where("reason IS NOT NULL").select("reason", "detail").take(1)
    if wrong:
        found.unpersist()
        why = " ".join(filter(None, wrong[0]))
        raise EbapError(f"{path} has a line that is not an event ({why})", "correct or remove the file; no file is loaded until then")
    return records.rows(found, EVENTS)
