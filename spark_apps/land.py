"""Land every captured change in bronze: one streaming query over an explicit list of topics, one Delta commit a batch.

Does: reads Kafka, keeps key, value and headers as received, parses the few fields that place a change, appends. Every half minute it
has the source's schema looked at, in a process of its own: where changes land, somebody looks.
Runs: always, as its own spark-submit (`python -m lakehouse submit land` prints the line).
Stops: `make down` leaves a stop request that is obeyed between two batches; SIGTERM alone may replay one batch.
When it fails: the supervisor starts it again and the checkpoint goes on where it was. It stops for good where Kafka no
longer has records that were never landed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import ledger, session, storage, tables
from lakehouse.landing import OBSERVED, run_until_stopped
from lakehouse.schema_watch import SchemaWatch
from lakehouse.settings import Settings, SettingsError
from lakehouse.transforms.landing import located

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming import StreamingQuery


def main() -> None:
    """Land until a stop request."""
    settings = Settings.from_environment()
    spark = session.classic(settings, "land")
    topics = [ledger.topic(name) for name in (*(table.name for table in tables.SOURCES), ledger.HEARTBEAT)]
    run_until_stopped(start(spark, settings, topics), settings, SchemaWatch().look)


def start(spark: SparkSession, settings: Settings, topics: Sequence[str], until_caught_up: bool = False) -> StreamingQuery:
    """Start the query from these topics to bronze; with `until_caught_up` it ends with what they hold now."""
    rows = located(storage.kafka_records(spark, settings, topics), F.current_timestamp())
    return storage.bronze_sink(rows.observe(OBSERVED, F.min("kafka_at").cast("string").alias("oldest")), settings, until_caught_up)


if __name__ == "__main__":
    try:
        main()
    except SettingsError as error:
        sys.exit(f"land: {error}")
