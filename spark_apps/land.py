"""Land every captured change in bronze: one streaming query over an explicit list of topics, one Delta commit a batch.

Does: reads Kafka, keeps key, value and headers as received, parses the few fields that place a change, appends; a backlog in large
batches on all cores. Every half minute it has the source's schema looked at, in a process of its own: where changes land, somebody looks.
Runs: always, as its own spark-submit (`python -m lakehouse submit land` prints the line).
Stops: `make down` leaves a stop request that is obeyed between two batches; SIGTERM alone may replay one batch.
When it fails: the supervisor starts it again and the checkpoint goes on where it was. It stops for good where Kafka no
longer has records that were never landed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import delta, landing, ledger, session, storage, tables
from lakehouse.schema_watch import SchemaWatch
from lakehouse.settings import Settings, SettingsError
from lakehouse.transforms.landing import gathered, placed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming import StreamingQuery

# A batch's own instant is a constant in the code that Spark generates, which so differs each time: it was compiled anew for every
# batch, first by Spark and then by the JVM, for sixty rows. Interpreted, a row costs some 20 us more.
_INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


def main() -> None:
    """Land until a stop request."""
    settings = Settings.from_environment()
    spark = session.classic(settings, "land")
    topics = [ledger.topic(name) for name in (*(table.name for table in tables.SOURCES), ledger.HEARTBEAT)]
    landing.run(partial(start, spark, settings, topics), settings, SchemaWatch().look)


def start(spark: SparkSession, settings: Settings, topics: Sequence[str], is_backlog: bool = False) -> StreamingQuery:
    """Start the query from these topics to bronze, in small batches until it is stopped.

    For a backlog in large ones, on all cores and by generated code; it ends with what the topics hold now. Both go on from the same
    checkpoint, so that one may follow the other between any two batches.
    """
    records = storage.kafka_records(spark, settings, topics, None if is_backlog else landing.LIGHT_RECORDS)
    rows = (placed if is_backlog else gathered)(records, F.current_timestamp())
    observed = rows.observe(landing.OBSERVED, F.min("kafka_at").cast("string").alias("oldest"))
    # A query keeps the settings that the session has when it starts.
    with delta.configured(spark, {} if is_backlog else _INTERPRETED):
        return storage.bronze_sink(observed, settings, until_caught_up=is_backlog)


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"land: {error}")
