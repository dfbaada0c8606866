"""Land every captured change in bronze: one streaming query over an explicit list of topics, one Delta commit per batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import platform_tables, process, tables
from lakehouse.errors import exit_code_of
from lakehouse.lake import storage
from lakehouse.settings import Settings
from lakehouse.source.schema_watch import SchemaWatch
from lakehouse.spark import delta, session, streaming
from lakehouse.transforms.records.placing import gathered, placed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming import StreamingQuery

# A batch's timestamp is a constant in the code that Spark generates, so the code was recompiled for every batch of sixty rows, first by
# Spark and then by the JVM. Interpreted, a row costs some 20 µs more.
_INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


APP = "land"


def main() -> None:
    """Land until a stop request; exits with one line where the settings are wrong."""
    sys.exit(exit_code_of(f"{APP}:", _land, failed=1))


def _land() -> None:
    settings = process.begin()
    spark = session.classic(settings, APP)
    topics = [platform_tables.topic(name) for name in (*(table.name for table in tables.SOURCES), platform_tables.HEARTBEAT)]
    streaming.run(partial(start, spark, settings, topics), settings, APP, SchemaWatch().look)


def start(spark: SparkSession, settings: Settings, topics: Sequence[str], is_backlog: bool = False) -> StreamingQuery:
    """Start the query from these topics to bronze, in small batches until it is stopped.

    A backlog is landed in large batches, on all cores and by generated code; the query ends with the records present now. Both use the same
    checkpoint and can alternate between batches.
    """
    records = storage.kafka_records(spark, settings, topics, None if is_backlog else streaming.LIGHT_RECORDS)
    rows = (placed if is_backlog else gathered)(records, F.current_timestamp())
    observed = rows.observe(streaming.OBSERVED, F.min("kafka_at").cast("string").alias("oldest"))
    # A query keeps the session settings of its start.
    with delta.configured(spark, {} if is_backlog else _INTERPRETED):
        return storage.bronze_sink(observed, settings, until_caught_up=is_backlog)
