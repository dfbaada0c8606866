"""The live half over a quarter of an hour: final windows against the ledger, and an object store that is away for five minutes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from functools import partial

import pytest

from lakehouse import tables
from lakehouse.live import trino, validate
from lakehouse.settings import Settings
from lakehouse.transforms.live import windows
from tests.e2e.conftest import Platform, until
from tests.e2e.live_half import FAULTS, beside, client, faults, received, stop, stored, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.long]

_AWAY_S = 300
_FINAL_S = windows.WINDOW_S + windows.GRACE_S + 240


@pytest.fixture(scope="module")
def live(platform: Platform) -> Iterator[Platform]:
    """The session's platform with the live half beside it, visitors with a ledger and every fault."""
    with beside(platform) as made:
        made.run("generator", "ledger", "on")
        made.run("generator", "chaos", *(f"{fault}=0.05" for fault in FAULTS))
        made.run("generator", "resume")
        yield made


def test_while_the_store_is_away_the_view_goes_on_and_nothing_is_lost(live: Platform) -> None:
    wait_for(live, received(live.settings) + 1000)
    stop(live, "s3")
    ends = time.monotonic() + _AWAY_S
    while time.monotonic() < ends:
        second = int(time.time())
        until(partial(_is_shown, live, second), 20, f"eps:{second} to be shown while the store is away")
    live.run("infra.local", "up", "s3", limit_s=200)
    live.run("generator", "pause")
    live.run("lakehouse", "catch-up", "--live", "--timeout", "600", limit_s=700)
    assert stored(live.settings) == received(live.settings)
    assert faults(live.settings) == []


def test_final_windows_have_every_event_of_the_ledger_that_came_in_time(live: Platform) -> None:
    """By the ledger alone, and not by what is stored: an event's window, and whether it came in time."""
    live.run("generator", "pause")
    wanted: Counter[int] = Counter()
    late = 0
    for at_s, received_s in _events_sent(live.settings):
        start = windows.start_of(at_s)
        if received_s < start + windows.WINDOW_S + windows.GRACE_S:
            wanted[start] += 1
        else:
            late += 1
    newest = max(wanted) + windows.WINDOW_S
    until(lambda: _final_before(live) >= newest, _FINAL_S, "the newest window to be final")
    rows = trino.query(live.settings, "SELECT to_unixtime(window_start), events FROM windows WHERE region = 'all' AND events > 0").rows
    found = {int(start): count for start, count in rows}
    assert {start: found.get(start, 0) for start in wanted} == dict(wanted)
    assert late > 0
    assert trino.query(live.settings, "SELECT count_if(is_late) FROM events").rows == ((late,),)
    assert faults(live.settings) == []


def _events_sent(settings: Settings) -> list[tuple[float, float]]:
    """Of each event in the ledger its instant, not after Kafka's, and Kafka's, in seconds; a repeat is none."""
    first: dict[str, tuple[float, float]] = {}
    for text in settings.ledger.read_text().splitlines():
        line = json.loads(text)
        if line.get("becomes") == "event":
            received_s = line["kafka_ms"] / 1000
            at_s = min(datetime.fromisoformat(line["event_at"]).timestamp(), received_s)
            first.setdefault(line["event_id"], (at_s, received_s))
    return list(first.values())


def _is_shown(live: Platform, second: int) -> bool:
    with closing(client(live.settings)) as redis:
        return redis.get(f"eps:{second}") is not None


def _final_before(live: Platform) -> int:
    return int(validate.position(live.settings, tables.live("windows"))[1].get("final_before_s", 0))
