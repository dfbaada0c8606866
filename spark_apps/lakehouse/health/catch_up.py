"""Catch-up: wait until everything committed at the source before now has reached gold.

Stages, in order: a position is written to the source's WAL, the slot has confirmed it, land has committed every record that Kafka held
then, silver has refined bronze's version of then, gold is aggregated. The batch stages run through Airflow if its scheduler is up, else
in this process. With `--live`, what Kafka has of the event topics has reached the Iceberg tables.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import psycopg2

from lakehouse import platform_tables, tables, wait
from lakehouse.delta import objects
from lakehouse.errors import EbapError, NotReadyError
from lakehouse.health import airflow_client
from lakehouse.lake import state
from lakehouse.lake.lake import Lake
from lakehouse.lake.state import TableState
from lakehouse.settings import Settings
from lakehouse.source import broker
from lakehouse.source.connection import SLOT, mark, owner
from lakehouse.verbs import VERBS

_POLL_S = 0.3

T = TypeVar("T")
Offsets = dict[tuple[str, int], int]


@dataclass(frozen=True, kw_only=True)
class CatchUp:
    """One wait: the settings, and the monotonic second at which it times out."""

    settings: Settings
    give_up_at: float

    @property
    def left_s(self) -> float:
        """Seconds until it times out."""
        return self.give_up_at - time.monotonic()

    def reach(self, stage: str, look: Callable[[], T], lag: Callable[[T], str | None] = lambda _: None) -> T:
        """Result of `look` once `lag` returns None for it; raises NotReadyError with the last text of `lag`.

        A part that does not answer, such as one that restarts, counts as lag.
        """
        for _ in wait.looks(self.left_s, every_s=_POLL_S):
            try:
                seen = look()
                behind = lag(seen)
            except (NotReadyError, OSError, psycopg2.Error) as error:
                behind = " ".join(f"{type(error).__name__}: {error}".split())
            else:
                if behind is None:
                    print(f"catch-up: {stage}", file=sys.stderr)
                    return seen
        raise NotReadyError(f"{stage} lags: {behind}")


def main(settings: Settings, timeout_s: float, *, is_live: bool = False) -> int:
    """Print the marked position, or with `is_live` the instant, and return 0, or name the stage that lags and return 1."""
    began = time.monotonic()
    try:
        print((events if is_live else run)(settings, timeout_s))
    except NotReadyError as error:
        print(f"catch-up: after {time.monotonic() - began:.0f} s, {error}", file=sys.stderr)
        return 1
    return 0


def run(settings: Settings, timeout_s: float) -> str:
    """Wait for every stage and return the marked WAL position; raises NotReadyError."""
    waiting = CatchUp(settings=settings, give_up_at=time.monotonic() + timeout_s)
    marked = reach_silver(waiting, [table.name for table in tables.SOURCES])
    _run(waiting, "gold", "aggregate", [table.name for table in tables.GOLD if not table.is_view])
    print("catch-up: aggregated", file=sys.stderr)
    return marked


def events(settings: Settings, timeout_s: float) -> str:
    """Wait until all that the event topics have now is stored, and return now; raises NotReadyError, EbapError without the live half."""
    if not settings.is_live:
        raise EbapError("the live half does not run here", "`make live` adds it")
    waiting = CatchUp(settings=settings, give_up_at=time.monotonic() + timeout_s)
    marked, states = datetime.now(UTC), state.store(settings)
    filled = [table for table in tables.LIVE if table.topic]
    waiting.reach("stored", lambda: states.read_all(filled), partial(_storing_lag, marked))
    return marked.isoformat()


def reach_silver(waiting: CatchUp, names: list[str]) -> str:
    """Wait for the stages up to silver, for these tables alone; the marked WAL position. Raises NotReadyError."""
    settings = waiting.settings
    marked = waiting.reach("marked", lambda: mark(settings))
    waiting.reach("captured", lambda: _slot(settings, marked), partial(_slot_lag, marked))
    ends = waiting.reach("sent", lambda: _end_offsets(settings))
    waiting.reach("landed", lambda: landed_offsets(settings), partial(_landing_lag, ends))
    _refined(waiting, names)
    return marked


def landed_offsets(settings: Settings) -> Offsets:
    """End offsets of land's newest committed batch, by topic and partition; empty before the first."""
    checkpoint = settings.land_checkpoint
    committed = [int(name) for name in objects.names(settings, f"{checkpoint}/commits") if name.isdigit()]
    if not committed:
        return {}
    # The file has a version, the batch's settings and one line per source; land has one source.
    source = json.loads(objects.text(settings, f"{checkpoint}/offsets/{max(committed)}").splitlines()[2])
    return {(topic, int(number)): offset for topic, ends in source.items() for number, offset in ends.items()}


def _slot(settings: Settings, marked: str) -> tuple[str, bool, int] | None:
    """The slot's confirmed position, whether a connector reads it, and how many bytes it is behind the marked position."""
    with owner(settings) as cursor:
        cursor.execute(
            "SELECT confirmed_flush_lsn::text, active, pg_wal_lsn_diff(%s::pg_lsn, confirmed_flush_lsn)::bigint"
            " FROM pg_replication_slots WHERE slot_name = %s",
            [marked, SLOT],
        )
        found: tuple[str, bool, int] | None = cursor.fetchone()
    return found


def _slot_lag(marked: str, slot: tuple[str, bool, int] | None) -> str | None:
    if slot is None:
        return f"there is no replication slot {SLOT}: `python -m lakehouse capture apply` starts the capture"
    confirmed, is_active, behind_bytes = slot
    if behind_bytes <= 0:
        return None
    return f"slot {SLOT} ({'active' if is_active else 'inactive'}) has confirmed {confirmed}, {behind_bytes} bytes before {marked}"


def _end_offsets(settings: Settings) -> Offsets:
    from kafka import TopicPartition  # half a second to load
    from kafka.errors import KafkaError

    try:
        consumer = broker.reader(settings)
        try:
            topics = [platform_tables.topic(name) for name in (*(table.name for table in tables.SOURCES), platform_tables.HEARTBEAT)]
            places = [TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()]
            return {(place.topic, place.partition): end for place, end in consumer.end_offsets(places).items()}
        finally:
            consumer.close()
    except KafkaError as error:
        raise NotReadyError(f"{type(error).__name__}: {error}") from None


def _landing_lag(ends: Offsets, landed: Offsets) -> str | None:
    behind = {place: end - landed.get(place, 0) for place, end in ends.items() if end > landed.get(place, 0)}
    if not behind:
        return None
    topics = ", ".join(sorted({topic for topic, _ in behind}))
    return f"land has not committed {sum(behind.values())} records of {topics}"


def _refined(waiting: CatchUp, names: list[str]) -> None:
    """Refine these tables up to bronze's current version."""
    version = Lake(waiting.settings).snapshot(platform_tables.CHANGES).version
    _run(waiting, "silver", "refine", names)
    wanted = [tables.source(name) for name in names]
    states = state.store(waiting.settings)
    paused = [each.pause_notice for each in states.read_all(wanted).values() if each.pause_notice]
    if paused:
        raise NotReadyError(f"refined lags: {'; '.join(paused)}")
    waiting.reach("refined", lambda: states.read_all(wanted), partial(_refining_lag, version))


def _refining_lag(version: int, states: Mapping[str, TableState]) -> str | None:
    behind = [f"{name} is at {each.bronze_version}" for name, each in states.items() if each.bronze_version < version]
    return f"of bronze version {version}, {', '.join(behind)}" if behind else None


def _storing_lag(marked: datetime, states: Mapping[str, TableState]) -> str | None:
    behind = [f"{name} is complete to {each.complete_to or 'nothing'}" for name, each in states.items() if not _reaches(each, marked)]
    stopped = [f"{name}: {each.error}" for name, each in states.items() if each.error]
    return "; ".join(stopped or behind) or None


def _reaches(known: TableState, marked: datetime) -> bool:
    return known.complete_to is not None and known.complete_to > marked


def _run(waiting: CatchUp, dag_id: str, verb: str, names: list[str]) -> None:
    """Run the verb for each table, through its DAG if Airflow is up; a failure does not stop the others."""
    failed = []
    try:
        if airflow_client.is_scheduled(waiting.settings, dag_id):
            ended = airflow_client.finish(waiting.settings, dag_id, waiting.left_s)
            # Only tables' tasks count; the check of quarantine does not.
            failed = [f"{task} failed, see DAG {dag_id}" for task in ended if task in names]
        else:
            failed = [fault for name in names if (fault := _fault(waiting.settings, verb, name))]
    except NotReadyError as error:
        raise NotReadyError(f"{dag_id} lags: {error}") from None
    if failed:
        raise NotReadyError(f"{dag_id} lags: {'; '.join(failed)}")


def _fault(settings: Settings, verb: str, name: str) -> str | None:
    try:
        VERBS[verb].run(settings, [name], partial(_by_spark, settings, verb, name))
    except EbapError as error:
        return f"{name}: {error}"
    return None


def _by_spark(settings: Settings, verb: str, name: str) -> Any:
    from pyspark.errors import PySparkException

    from lakehouse.spark import session

    call = VERBS[verb].parse([name])
    spark = session.connect(settings)
    try:
        return call(spark, settings)
    except PySparkException as error:
        raise EbapError(str(error).partition("\n")[0]) from error
    finally:
        spark.stop()
