"""Clients of the Kafka broker. A broker that does not answer is named after ten seconds, and not after Kafka's thirty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakehouse.settings import Settings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

# kafka-python takes half a second to load: where a client is made, and no sooner.

_ANSWERS_WITHIN_MS = 10_000


def admin(settings: Settings, **options: Any) -> KafkaAdminClient:
    """An admin client, to be closed; raises KafkaError when no broker answers."""
    from kafka import KafkaAdminClient

    return KafkaAdminClient(**(_common(settings) | options))


def reader(settings: Settings) -> KafkaConsumer:
    """A consumer of no group, which starts at the beginning; to be closed. Raises KafkaError when no broker answers."""
    from kafka import KafkaConsumer

    return KafkaConsumer(**_common(settings), enable_auto_commit=False, auto_offset_reset="earliest")


def sender(settings: Settings, **options: Any) -> KafkaProducer:
    """A producer whose records all replicas have; to be closed. Raises KafkaError when no broker answers."""
    from kafka import KafkaProducer

    return KafkaProducer(**(_common(settings) | {"acks": "all"} | options))


def _common(settings: Settings) -> dict[str, Any]:
    return {"bootstrap_servers": settings.kafka_bootstrap, "bootstrap_timeout_ms": _ANSWERS_WITHIN_MS}
