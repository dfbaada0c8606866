"""Liveness: the state of a table (idle, late, stalled and where), from the progress of each stage.

Capture updates a heartbeat row every 15 seconds, which travels like any change: Kafka, bronze, silver's checkpoints. A quiet table
whose checkpoint follows the heartbeat is idle; otherwise it is stalled at the first stage that the heartbeat has not passed.
Pure except for `beat_sent_at`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lakehouse import platform_tables
from lakehouse.settings import Settings
from lakehouse.source import broker

FRESH, IDLE, LATE, STOPPED = "fresh", "idle", "late", "stopped"
KAFKA, CAPTURE, LAND, REFINE, GOLD, ACTIVITY = (
    f"stalled at {stage}" for stage in ("kafka", "capture", "land", "refine", "gold", "activity")
)
# From worst to best.
STATES = (KAFKA, CAPTURE, LAND, STOPPED, REFINE, GOLD, ACTIVITY, LATE, IDLE, FRESH)
_WAIT_MS = 5000


@dataclass(frozen=True, kw_only=True)
class State:
    """One of STATES, and since when: the last change of an idle table, the last progress of a stalled stage."""

    name: str
    since: datetime | None = None

    @property
    def is_held(self) -> bool:
        """Whether the table makes no progress, so that tables that read it make none either."""
        return self.name in (KAFKA, CAPTURE, LAND, STOPPED, REFINE, GOLD)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Progress of a table: commit time it is complete to, last progress of its stage, last change of the table's own content."""

    allowed_s: int
    complete_to: datetime | None
    moved_at: datetime | None
    changed_at: datetime | None = None

    def is_on_time(self, now: datetime) -> bool:
        """Whether its age is within its declared maximum."""
        return _is_within(self.complete_to, now, self.allowed_s)

    def late(self) -> State:
        """Late since its age exceeded the maximum."""
        return State(name=LATE, since=self.complete_to and self.complete_to + timedelta(seconds=self.allowed_s))


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Time of Kafka's newest heartbeat; None if the broker does not answer or has none."""

    sent_at: datetime | None
    has_answered: bool


def bronze(at: Standing, beat: Beat | None, now: datetime) -> State:
    """The state of bronze; `beat` is used only if bronze is not on time, otherwise it may be None."""
    if at.is_on_time(now):
        return State(name=FRESH)
    # A backlog lands before the heartbeat that follows it.
    if _is_within(at.moved_at, now, at.allowed_s):
        return at.late()
    if beat is None or not beat.has_answered:
        return State(name=KAFKA, since=at.moved_at)
    if not _is_within(beat.sent_at, now, at.allowed_s):
        return State(name=CAPTURE, since=beat.sent_at)
    return State(name=LAND, since=at.moved_at)


def silver(at: Standing, landed: State, error: str | None, now: datetime) -> State:
    """The state of a source table, given that of bronze; `moved_at` is when it was last refined."""
    if error:
        return State(name=STOPPED, since=at.moved_at)
    if landed.is_held:
        return landed
    if at.is_on_time(now):
        return State(name=FRESH) if _is_within(at.changed_at, now, at.allowed_s) else State(name=IDLE, since=at.changed_at)
    return at.late() if _is_within(at.moved_at, now, at.allowed_s) else State(name=REFINE, since=at.moved_at)


def gold(at: Standing, inputs: Iterable[State], waiting_since: datetime | None, now: datetime) -> State:
    """The state of a gold table, given those of its inputs; `waiting_since`: time of the first input change not consumed yet."""
    worst = least(inputs)
    if worst.is_held:
        return worst
    if at.is_on_time(now):
        return worst if worst.name == IDLE else State(name=FRESH)
    if waiting_since is None:
        return at.late()
    has_moved_since = at.moved_at is not None and at.moved_at >= waiting_since
    if has_moved_since or _is_within(waiting_since, now, at.allowed_s):
        return State(name=LATE, since=waiting_since)
    return State(name=GOLD, since=waiting_since)


def live(at: Standing, profiles: State, now: datetime) -> State:
    """The state of a live table, which waits for `profiles`, the history of users; `moved_at` is when its last round ended."""
    if profiles.is_held:
        return profiles
    if at.is_on_time(now):
        return State(name=FRESH)
    if at.moved_at is None:  # its first commit takes a minute or two
        return at.late()
    return at.late() if _is_within(at.moved_at, now, at.allowed_s) else State(name=ACTIVITY, since=at.moved_at)


def least(states: Iterable[State]) -> State:
    """The worst of the states; idle only if all are idle, then since the latest of their times."""
    found = list(states)
    worst = min(found, key=lambda state: STATES.index(state.name))
    if worst.name != IDLE:
        return worst
    if any(state.name == FRESH for state in found):
        return State(name=FRESH)
    return State(name=IDLE, since=max((state.since for state in found if state.since), default=None))


def beat_sent_at(settings: Settings) -> Beat:
    """Time of the newest heartbeat, from Kafka's timestamp index: no record is read."""
    from kafka import TopicPartition
    from kafka.admin import OffsetSpec
    from kafka.errors import KafkaError, UnknownTopicOrPartitionError

    place = TopicPartition(platform_tables.topic(platform_tables.HEARTBEAT), 0)
    try:
        client = broker.admin(settings, bootstrap_timeout_ms=_WAIT_MS, request_timeout_ms=_WAIT_MS)
    except (KafkaError, OSError):
        return Beat(sent_at=None, has_answered=False)
    try:
        newest = client.list_partition_offsets({place: OffsetSpec.MAX_TIMESTAMP})[place]
    except UnknownTopicOrPartitionError:
        return Beat(sent_at=None, has_answered=True)
    except (KafkaError, OSError):
        return Beat(sent_at=None, has_answered=False)
    finally:
        client.close()
    # The time is -1 for an empty topic.
    return Beat(sent_at=datetime.fromtimestamp(newest.timestamp / 1000, UTC) if newest.timestamp >= 0 else None, has_answered=True)


def _is_within(at: datetime | None, now: datetime, seconds: float) -> bool:
    return at is not None and now - at <= timedelta(seconds=seconds)
