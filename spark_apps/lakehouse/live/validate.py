"""Validation of the live half over Trino: every record of Kafka in exactly one place, partitions, final windows, and the ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.live import trino
from lakehouse.live.position import KEY, NEWEST, furthest
from lakehouse.settings import Settings

EVENTS, TELEMETRY, DEAD = tables.live("events"), tables.live("telemetry"), tables.live("dead_letters")
WINDOWS = tables.live("windows")
_POSITION = (
    f"SELECT snapshot_id, summary['{KEY}'] FROM \"{{table}}$snapshots\" WHERE element_at(summary, '{KEY}') IS NOT NULL "
    f"ORDER BY committed_at DESC LIMIT {NEWEST}"
)
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One check: whether it holds, and what was counted."""

    is_right: bool
    text: str


def run(settings: Settings, ledger: Path) -> Iterator[Finding]:
    """Every check, one after the other; that of the ledger where there is one."""
    for table in (EVENTS, TELEMETRY):
        yield from _complete(settings, table)
    yield from _partitions(settings)
    yield from _windows(settings)
    if ledger.is_file():
        yield from _as_sent(settings, ledger)
    else:
        yield Finding(True, f"no ledger at {ledger}: `python -m generator ledger on` begins one")


def _complete(settings: Settings, table: Table) -> Iterator[Finding]:
    """Rows, repeats and dead letters of each partition are its offsets from the first that was read to where the table stands."""
    snapshot, reached = position(settings, table)
    if "offsets" not in reached:  # nothing, or files of past days alone
        yield Finding(True, f"{table.name}: nothing is stored yet")
        return
    ends, firsts, repeats = reached["offsets"][table.topic], reached["first"], reached.get("repeats", {})
    stored = _by_partition(settings, f"{table.name} FOR VERSION AS OF {snapshot} WHERE kafka_partition IS NOT NULL")
    # Their commit comes first, and may be ahead.
    below = " OR ".join(f"(kafka_partition = {part} AND kafka_offset < {end})" for part, end in ends.items())
    dead = _by_partition(settings, f"{DEAD.name} WHERE topic = '{table.topic}' AND ({below})")
    for part in sorted(ends, key=int):
        rows, again, bad, gone = (counts.get(part, 0) for counts in (stored, repeats, dead, reached.get("skipped", {})))
        offsets = ends[part] - firsts[part]
        sum_of_all = rows + again + bad + gone
        lost = f" + {gone:,} that Kafka deleted" if gone else ""
        total = f"{rows:,} rows + {again:,} repeats + {bad:,} dead letters{lost} = {sum_of_all:,}"
        yield Finding(sum_of_all == offsets and again >= 0, f"{table.topic} partition {part}: {total} of {offsets:,} offsets")


def _by_partition(settings: Settings, what: str) -> dict[str, int]:
    answer = trino.query(settings, f"SELECT kafka_partition, count(*) FROM {what} GROUP BY 1")
    return {str(part): count for part, count in answer.rows}


def _partitions(settings: Settings) -> Iterator[Finding]:
    """Trino sees the partitions, and a query of one day reads no row of another."""
    answer = trino.query(settings, f'SELECT partition.event_at_day, partition.region, record_count FROM "{EVENTS.name}$partitions"')
    rows = Counter[str]()
    for day, _, count in answer.rows:
        rows[day] += count
    if not rows:
        return
    regions = sorted({region for _, region, _ in answer.rows})
    yield Finding(True, f"events has {len(answer.rows):,} partitions: {len(rows):,} days, regions {', '.join(regions)}")
    day = max(rows)
    first = f"TIMESTAMP '{day} 00:00:00 UTC'"
    of_day = f"event_at >= {first} AND event_at < {first} + INTERVAL '1' DAY"
    asked = trino.query(settings, f"SELECT count(visitor_id) FROM {EVENTS.name} WHERE {of_day}")
    text = f"a query of {day} reads {asked.read_rows:,} rows; its partitions have {rows[day]:,} of {rows.total():,}"
    # The stream goes on between the two questions.
    yield Finding(asked.read_rows <= max(asked.rows[0][0], rows[day]), text)


def _windows(settings: Settings) -> Iterator[Finding]:
    """Each final window has the events of its minute that are not late: those and the late ones are all."""
    final_before_s = position(settings, WINDOWS)[1].get("final_before_s")
    if final_before_s is None:
        yield Finding(True, "windows: none is final yet")
        return
    counted = (
        f"SELECT date_trunc('minute', event_at) AS start, region, count_if(NOT is_late) AS n, count_if(is_late) AS late FROM {EVENTS.name} "
        f"WHERE kafka_at IS NOT NULL AND event_at < from_unixtime({final_before_s}) GROUP BY 1, 2"
    )
    answer = trino.query(
        settings,
        "SELECT count(DISTINCT w.window_start), coalesce(sum(w.events), 0), coalesce(sum(e.n), 0), coalesce(sum(e.late), 0), "
        "count_if(coalesce(w.events, 0) <> coalesce(e.n, 0)) "
        f"FROM (SELECT * FROM {WINDOWS.name} WHERE region <> 'all' AND window_start < from_unixtime({final_before_s})) AS w "
        f"FULL JOIN ({counted}) AS e "
        "ON w.window_start = e.start AND w.region = e.region",
    )
    number, events, stored, late, wrong = answer.rows[0]
    text = f"windows: {number:,} final ones have {events:,} events of {stored:,} that came in time; {late:,} late ones are in none"
    yield Finding(not wrong, text + (f"; {wrong:,} windows of a region are wrong" if wrong else ""))


def _as_sent(settings: Settings, ledger: Path) -> Iterator[Finding]:
    """Each acknowledged record that the tables have reached is where it must be, and nothing else is stored at its place."""
    _, reached = position(settings, EVENTS)
    end = reached.get("offsets", {}).get(EVENTS.topic, {})
    lines = [line for line in _lines(ledger) if line["topic"] == EVENTS.topic and line["offset"] < end.get(str(line["partition"]), 0)]
    if not lines:
        yield Finding(True, f"the ledger {ledger} has no event that is stored yet")
        return
    wanted, repeated = _expected(lines)
    doubtful = _doubtful(ledger)
    oldest = min(line["offset"] for line in lines)
    stored = trino.query(settings, f"SELECT kafka_partition, kafka_offset, event_id FROM {EVENTS.name} WHERE kafka_offset >= {oldest}")
    events = {(part, offset): key for part, offset, key in stored.rows}
    letters = trino.query(settings, f"SELECT kafka_partition, kafka_offset, reason FROM {DEAD.name} WHERE topic = '{EVENTS.topic}'")
    dead = {(part, offset): reason for part, offset, reason in letters.rows}
    ids = Counter(events.values())
    wrong = [
        f"{line['event_id']} at {line['partition']}/{line['offset']}: {becomes}"
        for line, becomes in wanted
        if not _is_there(line, becomes, events, dead)
        # An earlier one of the same may have reached Kafka without an answer.
        and not (line["event_id"] in doubtful and line["event_id"] in ids and _is_there(line, "repeat", events, dead))
    ]
    kinds = Counter(becomes for _, becomes in wanted)
    text = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    faults = Counter(line["fault"] for line, _ in wanted if line["fault"])
    yield Finding(
        not wrong, f"ledger: {len(wanted):,} records ({text}) in their places" + "".join(f"; wrong: {one}" for one in wrong[:_SHOWN])
    )
    yield Finding(True, f"ledger: faults among them: {', '.join(f'{count:,} {name}' for name, count in sorted(faults.items())) or 'none'}")
    twice = [key for key, count in ids.items() if count > 1]
    yield Finding(not twice, f"ledger: {len(repeated):,} identifiers came again, {len(twice):,} are stored twice")


def _expected(lines: list[dict[str, Any]]) -> tuple[list[tuple[dict[str, Any], str]], set[str]]:
    """Each line with what must become of it: of several events with one identifier, the first that Kafka received is the event."""
    first: dict[str, tuple[int, int, int]] = {}
    for line in lines:
        if line["becomes"] in ("event", "repeat"):
            place = (line["kafka_ms"], line["partition"], line["offset"])
            first[line["event_id"]] = min(first.get(line["event_id"], place), place)
    made, repeated = [], set()
    for line in lines:
        becomes = line["becomes"]
        if becomes in ("event", "repeat"):
            is_first = first[line["event_id"]] == (line["kafka_ms"], line["partition"], line["offset"])
            # The first one may have come before the ledger was begun.
            becomes = "event" if is_first and becomes == "event" else "repeat"
        if becomes == "repeat":
            repeated.add(line["event_id"])
        made.append((line, becomes))
    return made, repeated


def _doubtful(ledger: Path) -> set[str]:
    """Identifiers that were sent more often than Kafka answered."""
    sent = Counter[str]()
    for line in _read(ledger):
        sent.update(line.get("sending", ()))
        if "event_id" in line:
            sent[line["event_id"]] -= 1
    return {key for key, count in sent.items() if count > 0}


def _is_there(line: dict[str, Any], becomes: str, events: dict[tuple[int, int], str], dead: dict[tuple[int, int], str]) -> bool:
    place = (line["partition"], line["offset"])
    if becomes == "event":
        return events.get(place) == line["event_id"] and place not in dead
    if becomes == "repeat":
        return place not in events and place not in dead
    return place not in events and dead.get(place) == line["reason"]


def position(settings: Settings, table: Table) -> tuple[int, dict[str, Any]]:
    """The snapshot with the position that the table has reached, and the position; empty if there is none."""
    found = trino.query(settings, _POSITION.format(table=table.name)).rows
    reached = furthest(text for _, text in found)
    return next(((snapshot, reached) for snapshot, text in found if json.loads(text) == reached), (0, {}))


def _lines(ledger: Path) -> Iterator[dict[str, Any]]:
    """The lines of what Kafka acknowledged."""
    return (line for line in _read(ledger) if "sending" not in line)


def _read(ledger: Path) -> Iterator[dict[str, Any]]:
    with ledger.open() as stream:
        for text in stream:
            # The last line may be cut by a kill.
            if text.endswith("\n"):
                yield json.loads(text)
