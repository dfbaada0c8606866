"""The live half beside the session's platform, for the modules that test it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from infra.local import supervision
from infra.services import service
from lakehouse import tables
from lakehouse.live import validate
from lakehouse.settings import Settings
from lakehouse.source import broker
from tests.e2e.conftest import Platform, until

SERVICES = ("redis", "s3", "trino", "activity", "clicks")
FAULTS = ("late", "duplicate", "out_of_order", "future", "malformed", "unknown_user")
EVENTS = tables.live("events")


@contextmanager
def beside(platform: Platform) -> Iterator[Platform]:
    """The platform with the live half, which is stopped afterwards; shop and visitors are paused."""
    choice = platform.settings.live_choice
    choice.write_text("yes")
    try:
        platform.run("infra.local", "up", *SERVICES, limit_s=600)
        # Other modules may have left the shop at a rate whose purchases alone are more events than this.
        platform.run("generator", "rate", str(platform.settings.rate))
        platform.run("generator", "eps", "100")
        yield platform
        platform.run("generator", "pause")
        for name in reversed(SERVICES):
            stop(platform, name)
    finally:
        choice.unlink()


def stop(platform: Platform, name: str) -> None:
    """Stop one service."""
    supervision.stop(platform.settings, supervision.ensure(platform.settings), service(platform.settings, name))


def client(settings: Settings, password: str | None = None) -> Redis:
    """A client of Redis, to be closed."""
    return Redis(host=settings.redis_host, port=settings.redis_port, password=password or settings.secret("redis"))


def event(**changes: Any) -> dict[str, Any]:
    """An event now, as the page sends it."""
    made: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "event_type": "view",
        "event_at": datetime.now(UTC).isoformat(),
        "visitor_id": "browser",
    }
    made |= dict.fromkeys(("user_id", "product_id", "order_id", "checkout_id"))
    return {**made, "session_id": "visit", "region": "EMEA", "country": "DE", "device": "phone", "page": "/", **changes}


def send(settings: Settings, *events: dict[str, Any]) -> None:
    """Send events to Kafka, one after the other, each acknowledged."""
    with closing(broker.sender(settings)) as producer:
        for each in events:
            producer.send(EVENTS.topic, key=b"browser", value=json.dumps(each).encode()).get(30)


def wait_for(platform: Platform, records: int) -> None:
    """Wait until the events' topic has had that many records."""
    until(lambda: received(platform.settings) >= records, 180, f"{records} records of events")


def received(settings: Settings) -> int:
    """Records that the events' topic has had."""
    from kafka import TopicPartition

    topic = str(EVENTS.topic)
    with closing(broker.reader(settings)) as reader:
        return sum(reader.end_offsets([TopicPartition(topic, number) for number in reader.partitions_for_topic(topic) or ()]).values())


def stored(settings: Settings) -> int:
    """Records of the events' topic that the final lane has come to."""
    return sum(validate.position(settings, EVENTS)[1].get("offsets", {}).get(EVENTS.topic, {}).values())


def faults(settings: Settings) -> list[str]:
    """What validation finds wrong, the ledger's checks included."""
    return [finding.text for finding in validate.run(settings, settings.ledger) if not finding.is_right]
