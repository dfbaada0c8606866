"""Topics of the change log and of events: the settings they must have, and how an existing topic differs.

A topic Kafka made by itself would have one partition, a default retention and, on some brokers, a policy that keeps only the
newest record of a key: the change log is history, so `cleanup.policy=delete` is enforced and anything else refused.
Connect makes its own three topics (compacted, as they must be); they are not listed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.platform_tables import HEARTBEAT, SIGNAL, topic
from lakehouse.settings import Settings
from lakehouse.source import broker

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

# Debezium's own sign of life, beside the heartbeat row. Without its topic the connector's producer waits for ever.
BEAT_TOPIC = "__debezium-heartbeat.ebap.source"
RETENTION_MS = 7 * 24 * 3600 * 1000
_KEYS = ("cleanup.policy", "retention.ms", "max.message.bytes")


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic: its number of partitions, and its settings where they are not those of the change log."""

    name: str
    partitions: int
    config: Mapping[str, str] | None = None


def declared(sources: Iterable[Table]) -> tuple[Topic, ...]:
    """Every topic the connector writes: one a source table, then those of EBAP's own tables and Debezium's beat."""
    captured = tuple(Topic(name=topic(table.name), partitions=3) for table in sources)
    own = tuple(Topic(name=name, partitions=1) for name in (topic(HEARTBEAT), topic(SIGNAL), BEAT_TOPIC))
    return (*captured, *own)


def of_events(settings: Settings) -> tuple[Topic, ...]:
    """The topics of the live half. Kafka's own time of receipt decides which window a record can still change."""
    partitions = 3
    config = {
        "cleanup.policy": "delete",
        "retention.ms": str(settings.events_retention_h * 3600 * 1000),
        "retention.bytes": str(settings.events_retention_mb * 1024 * 1024 // partitions),
        # Retention removes whole segments.
        "segment.bytes": str(max(settings.events_retention_mb * 1024 * 1024 // partitions // 8, 1024 * 1024)),
        "message.timestamp.type": "LogAppendTime",
    }
    return tuple(Topic(name=str(table.topic), partitions=partitions, config=config) for table in tables.LIVE if table.topic)


def settings_of(max_batch_bytes: int) -> dict[str, str]:
    """The settings of every topic of the change log."""
    return dict(zip(_KEYS, ("delete", str(RETENTION_MS), str(max_batch_bytes)), strict=True))


def ensure(settings: Settings, *, may_correct: bool = False) -> list[str]:
    """`create` on the broker of the settings, for every declared source table."""
    with closing(broker.admin(settings)) as admin:
        wanted = (*declared(tables.SOURCES), *(of_events(settings) if settings.is_live else ()))
        return create(admin, wanted, settings.max_batch_bytes, may_correct=may_correct)


def create(admin: KafkaAdminClient, topics: Iterable[Topic], max_batch_bytes: int, *, may_correct: bool = False) -> list[str]:
    """Create what is missing and return a line for each thing done; safe to repeat.

    Raises EbapError naming every topic with another cleanup policy, unless `may_correct` sets it to delete.
    """
    wanted = list(topics)
    config = {entry.name: dict(entry.config or settings_of(max_batch_bytes)) for entry in wanted}
    present = set(admin.list_topics())
    missing = [entry for entry in wanted if entry.name not in present]
    existing = _configs(admin, {entry.name: config[entry.name] for entry in wanted if entry.name in present})
    faults = policy_faults(existing)
    if faults and not may_correct:
        raise EbapError("; ".join(faults))
    if missing:
        admin.create_topics({t.name: {"num_partitions": t.partitions, "replication_factor": 1, "configs": config[t.name]} for t in missing})
    done = [f"created {entry.name} with {entry.partitions} partitions" for entry in missing]
    return done + _correct(admin, existing, config)


def faults(admin: KafkaAdminClient, topics: Iterable[Topic]) -> list[str]:
    """A line for each of these topics that is missing, or does not keep every record for its retention."""
    wanted = {entry.name for entry in topics}
    present = wanted & set(admin.list_topics())
    missing = [
        f"topic {name} does not exist, and capture would wait for it for ever: run `python -m lakehouse topics`"
        for name in wanted - present
    ]
    return sorted(missing) + policy_faults(_configs(admin, dict.fromkeys(sorted(present), _KEYS)))


def policy_faults(configs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A line for each topic whose cleanup policy is not delete, with the cure; `configs` is topic to its settings."""
    return [
        f"topic {name} has cleanup.policy={config['cleanup.policy']}, which loses history: `python -m lakehouse topics --correct`"
        " sets it to delete; if it stood so for long, records are gone already and `make wipe` begins again"
        for name, config in sorted(configs.items())
        if config["cleanup.policy"] != "delete"
    ]


def _correct(admin: KafkaAdminClient, existing: Mapping[str, Mapping[str, str]], wanted: Mapping[str, Mapping[str, str]]) -> list[str]:
    from kafka.admin import ConfigResource, ConfigResourceType

    done = []
    for name, config in sorted(existing.items()):
        differing = {key: value for key, value in wanted[name].items() if config[key] != value}
        if differing:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=differing)])
            done += [f"set {key}={value} on {name} (was {config[key]})" for key, value in differing.items()]
    return done


def _configs(admin: KafkaAdminClient, keys: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str]]:
    """The values of these settings of each topic."""
    # The declarations of topics are read where no client is needed.
    from kafka.admin import ConfigResource, ConfigResourceType

    if not keys:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, configs=dict.fromkeys(wanted)) for name, wanted in keys.items()]
    answer = admin.describe_configs(resources, config_filter="all")
    return {name: {key: str(entry["value"]) for key, entry in config.items()} for name, config in answer["topic"].items()}
