"""Ranges of the event topics: from where a commit ended to what Kafka had received before an instant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lakehouse.errors import EbapError
from lakehouse.settings import Settings
from lakehouse.source import broker

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Topic, then partition as text, as JSON and Spark's options have them; the offset is the next one to read.
Offsets = dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Records of topics from `start`, inclusive, to `end`, exclusive. `is_whole`: it reaches up to the instant that was asked for."""

    start: Offsets
    end: Offsets
    is_whole: bool

    @property
    def records(self) -> int:
        """Number of offsets in the range."""
        return sum(end - self.start[topic][part] for topic, parts in self.end.items() for part, end in parts.items())

    def of(self, topic: str) -> Offsets:
        """The end of one topic."""
        return {topic: self.end[topic]}

    def read(self, spark: SparkSession, settings: Settings) -> DataFrame:
        """The records as Spark's Kafka source gives them; a record that Kafka no longer has is an error."""
        options = {"startingOffsets": json.dumps(self.start), "endingOffsets": json.dumps(self.end), "failOnDataLoss": "true"}
        reader = spark.read.format("kafka").option("kafka.bootstrap.servers", settings.kafka_bootstrap)
        return reader.option("subscribe", ",".join(sorted(self.end))).options(**options).load()


def until(settings: Settings, topics: Sequence[str], start: Mapping[str, Mapping[str, int]], before: datetime, most: int) -> Range:
    """The range from `start` (from the oldest record where it has no offset) to the records received before an instant.

    At most about `most` records: the rest of each partition waits. EbapError if Kafka no longer has the first of them.
    """
    from kafka import TopicPartition

    with closing(broker.reader(settings)) as reader:
        places = [TopicPartition(topic, number) for topic in topics for number in sorted(reader.partitions_for_topic(topic) or ())]
        oldest, newest = reader.beginning_offsets(places), reader.end_offsets(places)
        found = reader.offsets_for_times(dict.fromkeys(places, int(before.timestamp() * 1000)))
    begin, end = _empty(topics), _empty(topics)
    for place in places:
        first = start.get(place.topic, {}).get(str(place.partition), oldest[place])
        if first < oldest[place]:
            raise _gone(place.topic, place.partition, first, oldest[place])
        begin[place.topic][str(place.partition)] = first
        # None: no record is that new, so that all are older.
        at = found.get(place)
        end[place.topic][str(place.partition)] = max(first, at.offset if at else newest[place])
    return _cut(begin, end, most)


def _cut(start: Offsets, end: Offsets, most: int) -> Range:
    whole = Range(start=start, end=end, is_whole=True)
    if whole.records <= most:
        return whole
    share = most / whole.records
    cut = {
        topic: {part: start[topic][part] + int((last - start[topic][part]) * share) for part, last in parts.items()}
        for topic, parts in end.items()
    }
    return Range(start=start, end=cut, is_whole=False)


def _gone(topic: str, partition: int, first: int, oldest: int) -> EbapError:
    return EbapError(
        f"Kafka no longer has records {first} to {oldest - 1} of {topic}, partition {partition}, which were never stored",
        "raise EBAP_EVENTS_KEEP_H and EBAP_EVENTS_KEEP_MB; `python -m lakehouse live skip` goes on behind the gap",
    )


def _empty(topics: Sequence[str]) -> Offsets:
    return {topic: {} for topic in topics}
