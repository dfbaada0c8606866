"""From a committed row to gold over Thrift, under load and under kill -9, against two independent oracles.

`ORACLE_S` sets the seconds of load (default 90), `ORACLE_RATE` its operations a second (default 200).
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka import KafkaProducer

from lakehouse import platform_tables, tables
from lakehouse.contract import History, Table
from lakehouse.lake import compaction, ddl
from lakehouse.spark import session
from lakehouse.transforms.gold import sql_files
from tests.e2e import gold_oracle, state_oracle
from tests.e2e.conftest import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

LOAD_S = int(os.environ.get("ORACLE_S", "90"))
RATE = int(os.environ.get("ORACLE_RATE", "200"))
# While services are killed: as often as the server that answers is up, and no older than one outage after another can make it. Each
# service has up to 180 s to come back, and takes some 30.
LEAST_ANSWERS, ANSWER_S, BEHIND_S = 10, 90.0, 300.0
KILLED = ("connect", "kafka", "postgres", "land", "spark", "airflow-scheduler")
JUNK = {
    "empty": b"",
    "not_utf8": b"\xff\xfe\x00junk",
    "not_json": b"{'op': 'c'",
    "no_op": b'{"after": {"user_id": 1}}',
    "wrong_table": b'{"op": "c", "after": {"user_id": 1}, "source": {"schema": "shop", "table": "orders", "lsn": 1, "ts_us": 1}}',
}


class LiveProbe:
    """Asks `gold.orders_live` again and again: how long an answer takes, and how far its newest commit is behind, in seconds."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.took_s: list[float] = []
        self.behind_s: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> LiveProbe:
        self._began_at = datetime.now(UTC)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(timeout=60)

    def _ask(self) -> None:
        while not self._end.wait(1.0):
            began = time.monotonic()
            try:
                rows = self.platform.sql("SELECT max(commit_at) AS newest, count(*) AS orders FROM gold.orders_live")
            except Exception:  # the server is being killed by the test: what counts is what it answers when it is up
                continue
            self.took_s.append(time.monotonic() - began)
            if rows and rows[0][0]:
                # Before that the shop may have been quiet for longer.
                newest = max(rows[0][0].replace(tzinfo=UTC), self._began_at)
                self.behind_s.append((datetime.now(UTC) - newest).total_seconds())


def operations(platform: Platform) -> int:
    """Operations the generator has done since it started."""
    return int(json.loads(platform.run("generator", "status"))["total_ops"])


def wait_for_work(platform: Platform, operation: int) -> None:
    """Wait until the generator is past that operation: what is killed next is killed at work."""
    until(lambda: operations(platform) > operation, 120, "work in flight before the next kill")


@pytest.fixture(scope="module")
def load(platform: Platform) -> LiveProbe:
    """What a reader of orders_live saw during the load, in the middle of which each service is killed once; the shop is quiet then."""
    platform.run("generator", "rate", str(RATE))
    platform.run("generator", "resume")
    end = time.monotonic() + LOAD_S
    with LiveProbe(platform) as probe:
        for name in KILLED:
            wait_for_work(platform, operations(platform) + RATE)
            platform.kill(name)
        until(lambda: time.monotonic() > end, LOAD_S + 60, "the end of the load")
    platform.run("generator", "pause")
    print(f"\nload: {operations(platform)} operations in {LOAD_S} s and more, {len(KILLED)} services killed")
    return probe


@pytest.fixture(scope="module")
def loaded(load: LiveProbe, platform: Platform) -> Platform:
    """The platform after the load, quiet and caught up."""
    print(platform.catch_up().strip())
    return platform


def _silver(platform: Platform, name: str) -> list[Any]:
    spark = session.connect(platform.settings)
    try:
        return spark.read.table(name).collect()
    finally:
        spark.stop()


def test_orders_live_answers_during_the_load(load: LiveProbe) -> None:
    p95_s, behind_s = (statistics.quantiles(seen, n=20)[-1] for seen in (load.took_s, load.behind_s))
    print(
        f"orders_live: {len(load.took_s)} answers, p95 {p95_s:.2f} s; newest commit behind now: median "
        f"{statistics.median(load.behind_s):.1f} s, p95 {behind_s:.1f} s (outages by kill included)"
    )
    assert len(load.took_s) >= LEAST_ANSWERS, "the view hardly answered under the load"
    assert p95_s < ANSWER_S
    assert behind_s < BEHIND_S


def test_every_stored_table_is_compacted_and_vacuumed(loaded: Platform) -> None:
    """Before the oracles: they read what it leaves."""
    spark = session.connect(loaded.settings)
    try:
        found = [compaction.run(spark, loaded.settings, table.full_name, is_vacuum_due=True) for table in ddl.stored_tables()]
    finally:
        spark.stop()
    assert [result.table for result in found if not result.has_vacuumed] == []


@pytest.mark.parametrize("table", tables.SOURCES, ids=lambda table: table.name)
def test_silver_equals_the_source(loaded: Platform, table: Table) -> None:
    with loaded.postgres() as cursor:
        expected = state_oracle.expected_state(cursor, table)
    actual = state_oracle.actual_state(_silver(loaded, table.full_name), table)
    assert expected, f"the load wrote nothing into {table.name}"
    assert not state_oracle.differences(expected, actual)
    print(f"\n{table.name}: {len(expected)} rows equal")


@pytest.mark.parametrize("table", [t for t in tables.SOURCES if t.history is History.FULL], ids=lambda table: table.name)
def test_history_equals_the_audit_log(loaded: Platform, table: Table) -> None:
    with loaded.postgres() as cursor:
        expected = state_oracle.expected_history(cursor, table)
    actual = state_oracle.actual_history(_silver(loaded, f"{table.full_name}_history"), table)
    assert not state_oracle.differences(expected, actual)
    print(f"\n{table.name}: {sum(len(versions) for versions in expected.values())} versions equal")


@pytest.mark.parametrize("table", [t for t in tables.GOLD if not sql_files.reads_bronze(t)], ids=lambda table: table.name)
def test_gold_equals_one_sql_over_the_source(loaded: Platform, table: Table) -> None:
    with loaded.postgres() as cursor:
        expected = gold_oracle.expected(cursor, table.name)
    actual = [tuple(row[name] for name in table.column_names) for row in _silver(loaded, table.full_name)]
    assert expected, f"the oracle has no rows for {table.name}"
    assert sorted(map(str, actual)) == sorted(map(str, expected))
    print(f"\n{table.full_name}: {len(expected)} rows equal")


def test_a_planted_error_turns_both_oracles_red(loaded: Platform) -> None:
    users, lines = tables.source("users"), tables.gold("order_lines")
    with loaded.postgres() as cursor:
        state, history = state_oracle.expected_state(cursor, users), state_oracle.expected_history(cursor, users)
        gold = gold_oracle.expected(cursor, lines.name)
    ((user,),) = loaded.sql("SELECT min(user_id) FROM silver.users")
    ((order,),) = loaded.sql("SELECT min(order_id) FROM gold.order_lines")
    before = {name: loaded.newest_change(name) for name in ("silver.users_changes", "gold.order_lines")}
    loaded.sql(f"UPDATE silver.users_changes SET full_name = 'planted' WHERE _last AND user_id = {user}")
    loaded.sql(f"UPDATE gold.order_lines SET list_price_usd = list_price_usd + 0.01 WHERE order_id = {order}")
    try:
        assert state_oracle.differences(state, state_oracle.actual_state(_silver(loaded, users.full_name), users))
        assert state_oracle.differences(history, state_oracle.actual_history(_silver(loaded, f"{users.full_name}_history"), users))
        rows = [tuple(row[name] for name in lines.column_names) for row in _silver(loaded, lines.full_name)]
        assert sorted(map(str, rows)) != sorted(map(str, gold))
    finally:
        for name, version in before.items():
            loaded.sql(f"RESTORE TABLE {name} TO VERSION AS OF {version}")


def test_junk_goes_to_quarantine_with_its_bytes_and_its_neighbours_go_through(loaded: Platform) -> None:
    topic = platform_tables.topic("users")
    producer = KafkaProducer(bootstrap_servers=loaded.settings.kafka_bootstrap)
    for value in JUNK.values():
        producer.send(topic, key=b'{"user_id": 1}', value=value, headers=[(platform_tables.EPOCH_HEADER, b"1")])
    producer.flush()
    with loaded.postgres() as cursor:
        cursor.execute("UPDATE shop.users SET full_name = full_name || ' Jr.', updated_at = now() RETURNING user_id")
        neighbours = len(cursor.fetchall())
    loaded.catch_up()
    found = {row["reason"]: bytes(row["value"]) for row in _silver(loaded, "silver.quarantine") if row["topic"] == topic}
    assert found == JUNK
    assert loaded.sql("SELECT count(*) FROM silver.users WHERE full_name LIKE '% Jr.'") == [(neighbours,)]


def test_nothing_changes_when_nothing_happened(loaded: Platform) -> None:
    names = [platform_tables.stored(table).full_name for table in tables.SOURCES] + [t.full_name for t in tables.GOLD if not t.is_view]
    before = {name: loaded.newest_change(name) for name in names}
    loaded.catch_up()
    assert {name: loaded.newest_change(name) for name in names} == before


def test_status_tells_every_service_and_table(loaded: Platform) -> None:
    status = loaded.status()
    assert {service["name"] for service in status["services"]} >= {*KILLED, "generator", "airflow-api", "airflow-dag-processor"}
    assert all(service["state"] in ("ready", "completed") for service in status["services"])
    shown = {entry["name"]: entry for entry in status["tables"]}
    assert shown.keys() >= {"bronze.changes", "silver.quarantine", *(table.full_name for table in (*tables.SOURCES, *tables.GOLD))}
    assert all(shown[table.full_name]["age_s"] is not None for table in (*tables.SOURCES, *tables.GOLD))
