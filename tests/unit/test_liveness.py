"""Idle or dead: what a table's age is called, stage by stage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse.health import liveness
from lakehouse.health.liveness import Beat, Standing, State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALLOWED_S = 60
FRESH, AT_LAND = State(name="fresh"), State(name=liveness.LAND, since=NOW)


def ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW - timedelta(seconds=seconds)


def standing(complete: float | None, moved: float | None, changed: float | None = None) -> Standing:
    """Seconds ago: complete to, last moved, last changed."""
    return Standing(allowed_s=ALLOWED_S, complete_to=ago(complete), moved_at=ago(moved), changed_at=ago(changed))


@pytest.mark.parametrize(
    ("at", "beat", "word", "since_s"),
    [
        (standing(5, 5), None, "fresh", None),
        # A backlog: the heartbeat stands behind it, batches land.
        (standing(90, 3), Beat(sent_at=ago(80), has_answered=True), "late", 30),
        (standing(90, 90), Beat(sent_at=None, has_answered=False), "stalled at kafka", 90),
        (standing(90, 90), Beat(sent_at=ago(90), has_answered=True), "stalled at capture", 90),
        (standing(90, 90), Beat(sent_at=None, has_answered=True), "stalled at capture", None),
        # The heart beats in Kafka, and nothing lands.
        (standing(90, 85), Beat(sent_at=ago(2), has_answered=True), "stalled at land", 85),
    ],
)
def test_bronze_is_stalled_at_the_stage_that_the_heartbeat_does_not_get_past(
    at: Standing, beat: Beat | None, word: str, since_s: float | None
) -> None:
    assert liveness.bronze(at, beat, NOW) == State(name=word, since=ago(since_s))


@pytest.mark.parametrize(
    ("at", "landed", "error", "word", "since_s"),
    [
        (standing(20, 10, changed=20), FRESH, None, "fresh", None),
        # Nobody shops, and the mark follows the heartbeat all the same.
        (standing(20, 10, changed=5000), FRESH, None, "idle", 5000),
        # The same quiet table behind a land that stands still is not idle, however young its mark.
        (standing(20, 10, changed=5000), AT_LAND, None, "stalled at land", 0),
        (standing(90, 90, changed=95), FRESH, None, "stalled at refine", 90),
        (standing(90, 10, changed=95), FRESH, None, "late", 30),
        (standing(20, 10, changed=20), FRESH, "stops at …", "stopped", 10),
        (standing(None, None), FRESH, None, "stalled at refine", None),
    ],
)
def test_a_source_table_is_idle_only_where_its_mark_follows_the_heartbeat(
    at: Standing, landed: State, error: str | None, word: str, since_s: float | None
) -> None:
    assert liveness.silver(at, landed, error, NOW) == State(name=word, since=ago(since_s))


@pytest.mark.parametrize(
    ("at", "inputs", "waits_s", "word", "since_s"),
    [
        (standing(20, 5000), [FRESH, State(name="idle", since=ago(900))], None, "fresh", None),
        (standing(20, 5000), [State(name="idle", since=ago(900)), State(name="idle", since=ago(500))], None, "idle", 500),
        (standing(20, 5000), [FRESH, AT_LAND], None, "stalled at land", 0),
        # Quiet for hours, then a change that the run under way will take up.
        (standing(5000, 5000), [FRESH], 10, "late", 10),
        (standing(5000, 5000), [FRESH], 90, "stalled at gold", 90),
        # It runs, and is behind.
        (standing(95, 20), [FRESH], 90, "late", 90),
        (standing(90, 20), [State(name="late", since=ago(30))], None, "late", 30),
    ],
)
def test_a_gold_table_is_no_better_off_than_its_inputs(
    at: Standing, inputs: list[State], waits_s: float | None, word: str, since_s: float | None
) -> None:
    assert liveness.gold(at, inputs, ago(waits_s), NOW) == State(name=word, since=ago(since_s))


@pytest.mark.parametrize(
    ("at", "profiles", "state", "since_s"),
    [
        (standing(20, 10), FRESH, "fresh", None),
        (standing(90, 10), FRESH, "late", 30),
        (standing(90, 90), FRESH, "stalled at activity", 90),
        (standing(None, None), FRESH, "late", None),
        # It waits for the history of users.
        (standing(90, 90), AT_LAND, "stalled at land", 0),
    ],
)
def test_a_live_table_is_stalled_where_its_app_or_the_users_are(at: Standing, profiles: State, state: str, since_s: float | None) -> None:
    assert liveness.live(at, profiles, NOW) == State(name=state, since=ago(since_s))
