"""The peer of line 3: records from Kafka to Parquet without Spark, by kafka-python and DuckDB.

The same columns and types, in commits of the same number of records; a commit is a folder that is renamed once complete. It does less
than land: no Delta log and no file statistics.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from kafka import KafkaConsumer, TopicPartition

from lakehouse.platform_tables import EPOCH_HEADER, TOPIC_PREFIX
from lakehouse.settings import Settings

_HEADERS = pa.list_(pa.struct({"key": pa.string(), "value": pa.binary()}))
_PLACE = '{"op":"VARCHAR","source":{"lsn":"BIGINT","sequence":"VARCHAR","txId":"BIGINT","ts_us":"BIGINT"}}'
_ROWS = f"""
SELECT substring(topic, {len(TOPIC_PREFIX) + 1}) AS source_table, current_date AS _landed_on, now() AS _landed_at,
  topic, "partition", "offset", make_timestamp(kafka_ms * 1000) AS kafka_at, key, value, headers,
  TRY_CAST(decode(list_filter(headers, lambda h: h.key = '{EPOCH_HEADER}')[-1].value) AS INTEGER) AS epoch,
  (place).op AS op, (place).source.lsn AS lsn, (place).source.sequence AS sequence, (place).source.txId AS txid,
  make_timestamp((place).source.ts_us) AS commit_at
FROM (SELECT *, from_json(CASE WHEN json_valid(text) THEN text END, '{_PLACE}') AS place FROM records)
"""


def land(settings: Settings, topics: list[str], folder: Path) -> None:
    """Land all current records of the topics in the folder."""
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
    places = [TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    batch: list[Any] = []
    number = 0
    with duckdb.connect() as database:
        while any(consumer.position(place) < end for place, end in ends.items()):
            room = settings.max_offsets_per_trigger - len(batch)
            for records in consumer.poll(timeout_ms=1000, max_records=room).values():
                batch += records
            if len(batch) == settings.max_offsets_per_trigger:
                _commit(database, batch, folder / str(number))
                batch, number = [], number + 1
        if batch:
            _commit(database, batch, folder / str(number))
    consumer.close()


def counted(folder: Path) -> tuple[int, int, int]:
    """Rows, and the sums of their offsets and positions."""
    query = f"SELECT count(*), sum(\"offset\")::BIGINT, sum(lsn)::BIGINT FROM read_parquet('{folder}/*/*/*/*.parquet')"
    with duckdb.connect() as database:
        found = database.execute(query).fetchone()
    assert found
    return found[0], found[1], found[2]


def _commit(database: duckdb.DuckDBPyConnection, batch: list[Any], folder: Path) -> None:
    values = pa.array([record.value for record in batch], pa.binary())
    columns = {
        "topic": [record.topic for record in batch],
        "partition": pa.array([record.partition for record in batch], pa.int32()),
        "offset": [record.offset for record in batch],
        "kafka_ms": [record.timestamp for record in batch],
        "key": pa.array([record.key for record in batch], pa.binary()),
        "value": values,
        "text": values.cast(pa.string()),
        "headers": pa.array([[{"key": key, "value": value} for key, value in record.headers] for record in batch], _HEADERS),
    }
    database.register("records", pa.table(columns))
    draft = folder.with_suffix(".draft")
    draft.parent.mkdir(parents=True, exist_ok=True)
    database.execute(f"COPY ({_ROWS}) TO '{draft}' (FORMAT parquet, PARTITION_BY (source_table, _landed_on))")
    draft.rename(folder)
