"""Events of past days from files, one JSON object a line in the format of the topic: what a stream would find late.

The files are in the folder `data/visits` of EBAP_HOME, as `python -m generator visits` writes them; each is loaded once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
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
    # A record has no key there; what is wrong with it names its file.
    "CAST(_metadata.file_path AS BINARY) AS key",
    "CAST(value AS BINARY) AS value",
    "CAST(NULL AS INT) AS partition",
    "CAST(NULL AS BIGINT) AS offset",
    "CAST(NULL AS TIMESTAMP) AS timestamp",
)


def folder(settings: Settings) -> Path:
    """The folder of the files."""
    return settings.home_dir / "data" / "visits"


def pending(settings: Settings, loaded: Collection[str], before: datetime) -> list[Path]:
    """The files that are not loaded yet, and were complete before that instant: the profiles of their events are known by then."""
    files = [path for path in sorted(folder(settings).glob("*.jsonl.gz")) if path.name not in loaded]
    return [path for path in files if path.stat().st_mtime < before.timestamp()]


def read(spark: SparkSession, settings: Settings, paths: Sequence[Path]) -> DataFrame:
    """The lines of these files as `records.read` gives records, without a place in Kafka."""
    lines = spark.read.text([str(path) for path in paths]).selectExpr(*_RECORD)
    return records.read(lines, (EVENTS,), settings.max_event_kb * 1024)


def refuse_faults(read_lines: DataFrame) -> None:
    """Raise EbapError with a file that has a line that is not an event."""
    for row in read_lines.where("reason IS NOT NULL").selectExpr("CAST(key AS STRING) AS file", "reason", "detail").take(1):
        why = " ".join(filter(None, (row.reason, row.detail)))
        raise EbapError(f"{row.file} has a line that is not an event ({why})", "correct or remove the file; no file is loaded until then")
