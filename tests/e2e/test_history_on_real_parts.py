"""History against the audit log, on real parts: reads in every order, then all that can happen to a row, under kill -9.

The workload's sessions are paused, outside any transaction, from before catch-up until what is compared has been read: state and history
are those of one moment. `shop.order_items` is partitioned here. `WORKLOAD_SEED` (default: 7) and `WORKLOAD_S` (default: 20 seconds
between two faults) set the load. The raw records of each case are printed: run with `-s`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lakehouse import tables
from lakehouse.contract import History
from lakehouse.spark import session
from tests.e2e import open_transactions, state_oracle, wire, workload
from tests.e2e.conftest import AUDIT, Platform, platform_with, until
from tests.e2e.workload import Workload

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

SEED = int(os.environ.get("WORKLOAD_SEED", "7"))
BETWEEN_FAULTS_S = float(os.environ.get("WORKLOAD_S", "20"))
PARTITIONED = Path(__file__).parent / "partitioned.sql"
HELD_OPEN = (7, 8)
KILLED = ("connect", "land", "spark", "kafka", "postgres")
USER = {"user_id": 800_001}


@contextlib.contextmanager
def _capture_begins(platform: Platform) -> Iterator[None]:
    with platform.postgres() as cursor:
        cursor.execute(PARTITIONED.read_text())
        cursor.execute(AUDIT.read_text())
    with open_transactions.across_the_initial_snapshot(platform, HELD_OPEN):
        yield


@pytest.fixture(scope="module")
def shop() -> Iterator[Platform]:
    with platform_with(("land", "snapshot", "generator"), {}, _capture_begins) as made:
        yield made


def wrong(platform: Platform, leave_out: tuple[Any, ...] = ()) -> list[str]:
    """Every difference between silver and the source: rows of each table, versions of those with history, but for some keys of users."""
    found = []
    for table in tables.SOURCES:
        with platform.postgres() as cursor:
            state = state_oracle.expected_state(cursor, table)
            history = state_oracle.expected_history(cursor, table) if table.history is History.FULL else {}
        compared: list[tuple[dict[Any, Any], dict[Any, Any]]] = [
            (state, state_oracle.actual_state(_silver(platform, table.full_name), table))
        ]
        if history:
            compared.append((history, state_oracle.actual_history(_silver(platform, f"{table.full_name}_history"), table)))
        for expected, actual in compared:
            for key in leave_out if table.name == "users" else ():
                expected.pop(key, None), actual.pop(key, None)
            found += [f"{table.name} {line}" for line in state_oracle.differences(expected, actual)]
        print(f"\n{table.name}: {len(state)} rows, {sum(map(len, history.values()))} versions compared")
    return found


def _silver(platform: Platform, name: str) -> list[Any]:
    spark = session.connect(platform.settings)
    try:
        return spark.read.table(name).collect()
    finally:
        spark.stop()


def _execute(platform: Platform, statement: str, *values: Any) -> None:
    with platform.postgres() as cursor:
        cursor.execute(statement, values)


def _insert_user(platform: Platform) -> None:
    _execute(
        platform,
        "INSERT INTO shop.users (user_id, email, full_name, region, country) VALUES (%s, %s, 'first', 'EMEA', 'NL')"
        " ON CONFLICT (user_id) DO UPDATE SET full_name = 'first'",
        USER["user_id"],
        f"{USER['user_id']}@example.org",
    )


def _rename(platform: Platform, name: str) -> None:
    _execute(platform, "UPDATE shop.users SET full_name = %s, updated_at = now() WHERE user_id = %s", name, USER["user_id"])


def _read_again(platform: Platform, table: str = "users") -> None:
    data = json.dumps({"type": "incremental", "data-collections": [rf"shop\.{table}"]})
    _execute(platform, "INSERT INTO ebap.signal (id, type, data) VALUES (%s, 'execute-snapshot', %s)", uuid.uuid4().hex, data)


def _reads(found: list[wire.Envelope]) -> list[wire.Envelope]:
    return [envelope for envelope in found if envelope.op == "r"]


def _until_named(platform: Platform, name: str) -> list[wire.Envelope]:
    return wire.until_sent(platform, "users", USER, lambda found: _named(found, name))


def _until_read(platform: Platform, seen: int) -> list[wire.Envelope]:
    """The user's records, once there are more reads among them than were seen."""
    return wire.until_sent(platform, "users", USER, lambda found: len(_reads(found)) > seen)


def _reads_so_far(platform: Platform) -> int:
    return len(_reads(wire.envelopes(platform.settings, "users", USER)))


def _named(found: list[wire.Envelope], name: str) -> list[wire.Envelope]:
    return [envelope for envelope in found if envelope.row and envelope.row["full_name"] == name]


def test_a_transaction_open_across_the_initial_snapshot_stands_after_its_read(shop: Platform) -> None:
    for user_id in HELD_OPEN:
        found = wire.until_sent(shop, "users", {"user_id": user_id}, lambda found: _named(found, "held open"))
        print(wire.shown(f"initial snapshot, user {user_id}", found, "full_name"))
        (read,), (update,) = _reads(found), _named(found, "held open")
        assert update.lsn < read.lsn, "the update was made before the snapshot's position"
        assert (update.partition, update.offset > read.offset) == (read.partition, True)
    shop.catch_up()
    assert not wrong(shop)


def test_a_transaction_open_across_an_incremental_snapshot_stands_after_its_read(shop: Platform) -> None:
    _insert_user(shop)
    for name, others in (("alone", 0), ("with others between", 3)):
        with open_transactions.session(shop) as held:
            before = _reads_so_far(shop)
            open_transactions.execute(held, "UPDATE shop.users SET full_name = %s WHERE user_id = %s", (name, USER["user_id"]))
            _read_again(shop)
            _until_read(shop, before)
            for _ in range(others):
                _execute(shop, "UPDATE shop.products SET stock = stock + 1 WHERE product_id = 3")
            held.commit()
        found = _until_named(shop, name)
        print(wire.shown(f"incremental snapshot, {name}", found, "full_name"))
        read, update = _reads(found)[-1], _named(found, name)[0]
        assert update.lsn < read.lsn, "the update was made before the read's position"
        assert update.last_commit is not None
        assert (update.partition, update.offset > read.offset) == (read.partition, True)
        shop.catch_up()
    assert not wrong(shop)


def test_changes_redelivered_after_a_read_stay_before_it(shop: Platform) -> None:
    """Connect is killed before it has kept the position behind the read, as often as it takes until the change comes again."""
    for attempt in range(8):
        name = f"redelivered {attempt}"
        seen = _reads_so_far(shop)
        _rename(shop, name)
        _read_again(shop)
        _until_read(shop, seen)
        shop.kill("connect")
        _rename(shop, f"{name}, later")
        found = _until_named(shop, f"{name}, later")
        if len(_named([envelope for envelope in found if envelope.op == "u"], name)) > 1:
            break
    print(wire.shown("redelivered after an incremental snapshot", found, "full_name"))
    first, *again = _named([envelope for envelope in found if envelope.op == "u"], name)
    assert again, "the change came once only"
    assert any(first.offset < read.offset < again[-1].offset for read in _reads(found)), "it came again after a read"
    shop.catch_up()
    assert not wrong(shop)


def _work_on(running: Workload, seconds: float) -> None:
    """Return after that time, and a hundred transactions more."""
    began, ends_at = running.done.total(), time.monotonic() + seconds
    until(lambda: time.monotonic() > ends_at and running.done.total() > began + 100, seconds + 180, "the load to go on")


@pytest.fixture(scope="module")
def loaded(shop: Platform) -> Platform:
    """The platform after the workload, each service killed once in the middle of it, compared after each."""
    _load(shop)
    return shop


def _load(shop: Platform) -> None:
    with Workload(shop.settings, SEED, pause_s=0.05) as running:
        for name in KILLED:
            _work_on(running, 0)
            shop.kill(name)
            _work_on(running, BETWEEN_FAULTS_S)
            with running.paused():
                print(f"\n{name} killed; {running.done.total()} transactions done; {shop.catch_up().strip()}")
                faults = wrong(shop)
            assert not faults, f"after the kill of {name}:\n" + "\n".join(faults)
    print(f"\ndone: {dict(running.done)}\nrefused: {dict(running.refused)}")
    never = {action.__name__ for action in (*workload.FREQUENT, *workload.USUAL, *workload.RARE)} - running.done.keys()
    assert not never, f"the load was too short: {sorted(never)} were never done"


def test_silver_equals_the_source_after_everything_that_can_happen_to_a_row(loaded: Platform) -> None:
    with loaded.postgres() as cursor:
        log = state_oracle.expected_history(cursor, tables.source("products"))
    assert any(version.previous for versions in log.values() for version in versions), "no version of another key's"
    assert loaded.sql("SELECT count(*) FROM silver.products_history WHERE size(_unresolved) > 0") == [(0,)]
    loaded.catch_up()
    assert not wrong(loaded)


def test_a_planted_error_is_found(loaded: Platform) -> None:
    ((number,),) = loaded.sql("SELECT min(product_id) FROM silver.products_history WHERE _previous_key IS NOT NULL")
    version = loaded.newest_change("silver.products_changes")
    for fault in ("_previous_key = NULL", "_valid_from = _valid_from - INTERVAL 1 MICROSECOND", "stock = stock + 1"):
        loaded.sql(f"UPDATE silver.products_changes SET {fault} WHERE product_id = {number} AND _previous_key IS NOT NULL")
        try:
            assert wrong(loaded), f"{fault} was not found"
        finally:
            loaded.sql(f"RESTORE TABLE silver.products_changes TO VERSION AS OF {version}")


def test_a_read_wins_over_what_was_known_before_changes_went_by_unseen(loaded: Platform) -> None:
    """The last of all: what went by unseen is in the audit log, and not in silver."""
    _rename(loaded, "seen")
    loaded.catch_up()
    _execute(loaded, "ALTER PUBLICATION ebap DROP TABLE shop.users")
    _rename(loaded, "unseen")
    _rename(loaded, "unseen, too")
    _execute(loaded, "ALTER PUBLICATION ebap ADD TABLE shop.users")
    seen = _reads_so_far(loaded)
    _read_again(loaded)
    found = _until_read(loaded, seen)
    _rename(loaded, "seen again")
    print(wire.shown("read after changes went by unseen", found[-3:], "full_name"))
    loaded.catch_up()
    names = loaded.sql(f"SELECT full_name FROM silver.users_history WHERE user_id = {USER['user_id']} ORDER BY _valid_from DESC LIMIT 3")
    assert names == [("seen again",), ("unseen, too",), ("seen",)]
    assert not wrong(loaded, leave_out=((USER["user_id"],),))
