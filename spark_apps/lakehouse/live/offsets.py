"""Ranges of the event topics: from where a commit ended to what Kafka had received before an instant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lakehouse.errors import EbapError
from lakehouse.settings import Settings
from lakehouse.source import broker

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from pyspark.sql import DataFrame, SparkSession

# Topic, then partition as text, as JSON and Spark's options have them; the offset is the next one to read.
Offsets = dict[str, dict[str, int]]
Starts = Mapping[str, Mapping[str, int]]


class Kept(NamedTuple):
    """What Kafka has of a partition: the offset of the oldest record, and the ends of all records and of those before the frontier."""

    oldest: int
    newest: int
    frontier: int


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

    def skips(self, reached: Starts) -> bool:
        """Whether it begins behind what was reached: Kafka has deleted records."""
        return any(first > reached.get(topic, {}).get(part, first) for topic, parts in self.start.items() for part, first in parts.items())

    def of(self, topic: str) -> Offsets:
        """The end of one topic."""
        return {topic: self.end[topic]}

    def read(self, spark: SparkSession, settings: Settings) -> DataFrame:
        """The records as Spark's Kafka source gives them; a record that Kafka no longer has is an error."""
        options = {"startingOffsets": json.dumps(self.start), "endingOffsets": json.dumps(self.end), "failOnDataLoss": "true"}
        reader = spark.read.format("kafka").option("kafka.bootstrap.servers", settings.kafka_bootstrap)
        return reader.option("subscribe", ",".join(sorted(self.end))).options(**options).load()


def skip_file(settings: Settings) -> Path:
    """The request to go on behind records that Kafka no longer has; the final lane removes it once it has."""
    return settings.control_dir / "activity.skip"


def until(settings: Settings, topics: Sequence[str], start: Starts, before: datetime, most: int) -> Range:
    """The range from `start` to the records that Kafka received before an instant; see `planned`."""
    from kafka import TopicPartition

    with closing(broker.reader(settings)) as reader:
        places = [TopicPartition(topic, number) for topic in topics for number in _partitions(reader, topic)]
        oldest, newest = reader.beginning_offsets(places), reader.end_offsets(places)
        found = reader.offsets_for_times(dict.fromkeys(places, int(before.timestamp() * 1000)))
    # No record is that new: all are older.
    ends = {place: at.offset if (at := found.get(place)) else newest[place] for place in places}
    kept = {(place.topic, str(place.partition)): Kept(oldest[place], newest[place], ends[place]) for place in places}
    return planned(kept, start, most, may_skip=skip_file(settings).exists())


def planned(kept: Mapping[tuple[str, str], Kept], start: Starts, most: int, *, may_skip: bool = False) -> Range:
    """The range of each topic's partition from `start`, or the oldest record where it has no offset, to the frontier in `kept`.

    `kept` is by topic and partition. At most about `most` records: the rest of each partition
    waits. EbapError if Kafka no longer has the first of them, unless `may_skip`.
    """
    begin: Offsets = {topic: {} for topic, _ in kept}
    end: Offsets = {topic: {} for topic, _ in kept}
    for (topic, part), has in kept.items():
        first = start.get(topic, {}).get(part, has.oldest)
        if first > has.newest:
            raise _recreated(topic, part, first, has.newest)
        if first < has.oldest and not may_skip:
            raise _gone(topic, part, first, has.oldest)
        begin[topic][part] = max(first, has.oldest)
        end[topic][part] = max(begin[topic][part], has.frontier)
    return _cut(begin, end, most)


def _cut(start: Offsets, end: Offsets, most: int) -> Range:
    whole = Range(start=start, end=end, is_whole=True)
    if whole.records <= most:
        return whole
    # Rounded up: a partition with records goes on by one at least.
    cut = {
        topic: {part: start[topic][part] + -(-(last - start[topic][part]) * most // whole.records) for part, last in parts.items()}
        for topic, parts in end.items()
    }
    return Range(start=start, end=cut, is_whole=False)


def _partitions(reader: KafkaConsumer, topic: str) -> list[int]:
    found = sorted(reader.partitions_for_topic(topic) or ())
    if not found:
        raise EbapError(f"topic {topic} does not exist", "run `python -m lakehouse topics`")
    return found


def _recreated(topic: str, part: str, first: int, newest: int) -> EbapError:
    return EbapError(
        f"{topic}, partition {part}, ends at {newest}, before {first}, up to which it is stored: the topic was deleted and created again",
        "drop the tables of iceberg.ebap to begin again, as their offsets are those of the old topic",
    )


def _gone(topic: str, part: str, first: int, oldest: int) -> EbapError:
    return EbapError(
        f"Kafka no longer has records {first} to {oldest - 1} of {topic}, partition {part}, which were never stored",
        "raise EBAP_EVENTS_RETENTION_H and EBAP_EVENTS_RETENTION_MB; `python -m lakehouse skip-events` goes on behind the gap",
    )
