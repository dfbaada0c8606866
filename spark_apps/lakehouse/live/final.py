"""The final lane: once a minute, everything that Kafka received before the users' history is complete, as Iceberg commits.

A round reads the event topics from where the last commit ended to the instant up to which silver.users is complete: the profile of every
event in it is known by then. Each table's commit has the offsets that it reached, so that a round that died anywhere is done again for
the tables that it had not come to, and for no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.contract import LONGEST_READER_H
from lakehouse.lake.state import TableState
from lakehouse.live import erasure, iceberg, offsets, past, profiles, repeats, window_values
from lakehouse.live.offsets import Offsets, Range
from lakehouse.transforms.live import records, windows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.contract import Table
    from lakehouse.lake.lake import Lake

EVENTS, TELEMETRY = tables.live("events"), tables.live("telemetry")
WINDOWS, DEAD = tables.live("windows"), tables.live("dead_letters")
_FILLED = (EVENTS, TELEMETRY)
_RENEWED = timedelta(hours=LONGEST_READER_H / 4)
_TOPICS = tuple(str(table.topic) for table in _FILLED)


class FinalLane:
    """Fills the Iceberg tables; one round after another, by one thread."""

    def __init__(self, spark: SparkSession, lake: Lake, settled: Callable[[Sequence[windows.Row], int], None]) -> None:
        """`settled` is called with the rows of windows that became final, and the instant that they end before."""
        self._spark, self._lake, self._settings, self._settled = spark, lake, lake.settings, settled
        self._at: dict[str, dict[str, Any]] = {}
        self._committed_at: dict[str, datetime] = {}
        self._frontier: datetime | None = None
        self._grown: set[str] = set()
        self._people: frozenset[int] = frozenset()

    def run(self) -> bool:
        """Do one round; whether it reached the frontier. Safe to repeat after any failure."""
        self._frontier = self._lake.states.read(tables.source("users")).complete_to
        if self._frontier is None:
            return True
        with self._positions():
            self._renew()
            return self._round(self._frontier)

    @contextmanager
    def _positions(self) -> Iterator[None]:
        """Within the block the positions of the tables are known; after a failure they are read again: the commit may stand."""
        if not self._at:
            iceberg.create(self._spark)
            found = {table.name: iceberg.position(self._spark, table) for table in tables.LIVE}
            self._at = {name: at for name, (at, _) in found.items()}
            self._committed_at = {name: committed_at for name, (_, committed_at) in found.items() if committed_at}
        try:
            yield
        except BaseException:
            self._at = {}
            raise

    def _round(self, frontier: datetime) -> bool:
        settings = self._settings
        self._forget(erasure.people(self._lake))
        reached = {topic: parts for table in _FILLED for topic, parts in self._offsets(table).items()}
        found = offsets.until(settings, _TOPICS, reached, frontier, settings.max_offsets_per_trigger)
        if found.records or found.skips(reached):
            # Read once: three tables are filled from it, and a filter before the parsing would repeat it.
            with _kept(records.read(found.read(self._spark, settings), _FILLED, settings.max_event_kb * 1024)) as read:
                self._fill(read, found)
        offsets.skip_file(settings).unlink(missing_ok=True)
        if not found.is_whole:
            self._report(found.records, None)
            return False
        final_before_s = windows.final_before(frontier.timestamp())
        self._settled(self._settle(final_before_s), final_before_s)
        self._report(found.records, frontier)
        return True

    def _renew(self) -> None:
        """Commit the positions again that are some hours old: a snapshot expires after a day, and with it what only it has."""
        for table in tables.LIVE:
            committed_at = self._committed_at.get(table.name)
            if committed_at and datetime.now(UTC) - committed_at > _RENEWED:
                self._append(self._spark.createDataFrame([], table.schema_ddl()), table, self._at[table.name])

    def _fill(self, read: DataFrame, found: Range) -> None:
        dead = records.dead(read).where(_beyond(self._offsets(DEAD)))
        if not dead.isEmpty():
            self._append(
                erasure.blanked(dead.coalesce(1), DEAD, self._people), DEAD, {"offsets": _furthest(self._offsets(DEAD), found.end)}
            )
        if self._offsets(TELEMETRY) != found.of(str(TELEMETRY.topic)):
            self._append(
                records.rows(read, TELEMETRY).coalesce(1),
                TELEMETRY,
                {"offsets": found.of(str(TELEMETRY.topic)), **self._gaps(TELEMETRY, found.start)},
            )
        if self._offsets(EVENTS) != found.of(str(EVENTS.topic)):
            self._append_events(records.rows(read, EVENTS), found.start, found.of(str(EVENTS.topic)))

    def _forget(self, people: frozenset[int]) -> None:
        """Erase those from the stored rows who are forgotten since the last round; at the first one, whoever is."""
        for table in erasure.PERSONAL:
            if erasure.erase(self._spark, table, people - self._people, self._at[table.name]):
                self._grown.add(table.name)
        self._people = people

    def load_past(self) -> None:
        """Load the files of past days that are there and not loaded yet, and older than what is known of the users."""
        if self._frontier is None:
            return
        with self._positions():
            known = self._at[EVENTS.name].get("files", [])
            paths = past.pending(self._settings, known, self._frontier)
            if paths:
                with _kept(past.read(self._spark, self._settings, paths)) as read:
                    past.refuse_faults(read)
                    position = self._at[EVENTS.name] | {"files": [*known, *(path.name for path in paths)]}
                    self._append_once(records.rows(read, EVENTS), position, {})

    def stored_windows(self, since: datetime) -> list[windows.Row]:
        """The stored windows that began at or after an instant."""
        with self._positions():
            found = self._spark.table(WINDOWS.full_name).where(f"window_start >= timestamp_seconds({int(since.timestamp())})")
            return [tuple(row) for row in found.collect()]

    def _gaps(self, table: Table, start: Offsets) -> dict[str, dict[str, int]]:
        """The offset of each partition from which the table has everything, and how many records Kafka deleted before they were read."""
        known, begun = self._at[table.name], start[str(table.topic)]
        skipped = Counter(known.get("skipped", {}))
        for part, end in self._offsets(table).get(str(table.topic), {}).items():
            skipped[part] += begun[part] - end
        return {"first": {**begun, **known.get("first", {})}, "skipped": {part: count for part, count in skipped.items() if count}}

    def _append_events(self, events: DataFrame, start: Offsets, end: Offsets) -> None:
        received = repeats.by_partition(events)
        position = self._at[EVENTS.name] | {"offsets": end, **self._gaps(EVENTS, start)}
        self._append_once(events, position, received)

    def _append_once(self, events: DataFrame, position: dict[str, Any], received: Mapping[str, int]) -> None:
        """Append the events that are not stored, with the profiles of their users; the others are counted as repeats."""
        single = repeats.without(self._spark, events, EVENTS)
        users = [row.user_id for row in single.where("user_id IS NOT NULL").select("user_id").distinct().collect()]
        with _kept(profiles.joined(self._spark, single, profiles.versions(self._lake, users))) as profiled:
            kept = repeats.by_partition(profiled) if received else {}
            repeated = Counter(position.get("repeats", {}))
            repeated.update({part: count - kept.get(part, 0) for part, count in received.items()})
            # Late events come in files of their own: the others are of a minute or two, by which readers skip files.
            split = erasure.blanked(profiled, EVENTS, self._people.intersection(users)).repartitionById(2, F.col("is_late").cast("int"))
            self._append(split, EVENTS, position | {"repeats": repeated})

    def _append(self, frame: DataFrame, table: Table, position: dict[str, Any]) -> None:
        iceberg.append(frame, table, position)
        self._at[table.name] = position
        self._committed_at[table.name] = datetime.now(UTC)
        self._grown.add(table.name)

    def _offsets(self, table: Table) -> Offsets:
        reached: Offsets = self._at[table.name].get("offsets", {})
        return reached

    def _settle(self, final_before_s: int) -> list[windows.Row]:
        """Store the values of the windows that have become final, and return them."""
        known = self._at[WINDOWS.name].get("final_before_s")
        since = known if known is not None else self._oldest_window()
        if since is None or since >= final_before_s:
            return []
        rows = window_values.final(self._spark, since, final_before_s)
        position = {"final_before_s": final_before_s}
        if rows:
            self._append(self._spark.createDataFrame(rows, WINDOWS.schema_ddl()).coalesce(1), WINDOWS, position)
        self._at[WINDOWS.name] = position
        return rows

    def _oldest_window(self) -> int | None:
        found = self._spark.sql(
            f"SELECT least((SELECT min(event_at) FROM {EVENTS.full_name} WHERE kafka_at IS NOT NULL AND NOT is_late), "
            f"(SELECT min(measured_at) FROM {TELEMETRY.full_name} WHERE NOT is_late)) AS at"
        ).collect()[0]
        return windows.start_of(found.at.timestamp()) if found.at else None

    def _report(self, count: int, frontier: datetime | None) -> None:
        """Store what the tables are complete to; None leaves it as it was."""
        final = datetime.fromtimestamp(windows.final_before(frontier.timestamp()), UTC) if frontier else None
        states = self._lake.states.read_all(tables.LIVE)
        for table in tables.LIVE:
            known = states[table.full_name]
            # A commit changes it, and the hourly maintenance.
            size = iceberg.size(self._spark, table) if table.name in self._grown else known.inputs
            made = TableState(
                table_name=table.full_name,
                inputs={**size, erasure.DONE: len(self._people)},
                complete_to=(final if table is WINDOWS else frontier) or known.complete_to,
                updated_at=datetime.now(UTC),
                records=count,
                turn=known.turn,
            )
            self._lake.states.advance(known, made)
        self._grown.clear()


@contextmanager
def _kept(frame: DataFrame) -> Iterator[DataFrame]:
    """The frame, computed once within the block."""
    frame.persist()
    try:
        yield frame
    finally:
        frame.unpersist()


def _furthest(known: Offsets, end: Offsets) -> Offsets:
    """The greater offset of each partition: an earlier try may have read more of one."""
    return {topic: {part: max(last, known.get(topic, {}).get(part, 0)) for part, last in parts.items()} for topic, parts in end.items()}


def _beyond(reached: Offsets) -> str:
    """SQL: the record is not among those that were reached."""
    terms = [
        f"(topic = '{topic}' AND kafka_partition = {part} AND kafka_offset < {end})"
        for topic, parts in reached.items()
        for part, end in parts.items()
    ]
    return f"NOT ({' OR '.join(terms)})" if terms else "true"
