"""What status reports of a lake: ages, states, counts and what waits, read without Spark."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lakehouse import platform_tables, tables
from lakehouse.gold import aggregate
from lakehouse.health import status
from lakehouse.health.liveness import Beat
from lakehouse.lake import quarantine_counts
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from tests.unit.light_lake import LightLake
from tests.unit.records import user

# All times are counted from here, so that a slow machine changes no state.
BEGAN = datetime.now(UTC)
DAY_S = 24 * 3600


@pytest.fixture(scope="module")
def lake(light_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> LightLake:
    """A shop with one user, refined and aggregated; a record of another waits."""
    made = LightLake.at(light_settings, tmp_path_factory.mktemp("status"))
    made.land("users", ("c", 10, user(1, "gold")), ("c", 20, {"user_id": 2, "birth_on": "no day"}))
    beat(made, BEGAN)
    for table in tables.SOURCES:
        made.refine(table.name)
    for gold in tables.GOLD:
        if not gold.is_view:
            aggregate.run(made.lake, gold.name)
    return made


def beat(lake: LightLake, at: datetime) -> None:
    """Land a heartbeat of that moment."""
    values = {
        "source_table": platform_tables.HEARTBEAT,
        "_landed_on": at.date(),
        "_landed_at": at,
        "lsn": 1,
        "commit_at": at,
        "headers": [],
    }
    lake.append([tuple(values.get(name) for name in platform_tables.CHANGES.column_names)])


def states(lake: LightLake, after_s: float, sent_after_s: float) -> dict[str, str]:
    """Each table's state so long after BEGAN, where Kafka was last sent a heartbeat so long after it."""
    asked = Beat(sent_at=BEGAN + timedelta(seconds=sent_after_s), has_answered=True)
    found = status.collect(lake.lake, BEGAN + timedelta(seconds=after_s), lambda: asked)
    return {row.name: row.state for row in found}


def test_a_quiet_shop_is_idle_and_one_whose_land_or_capture_stands_still_is_not(lake: LightLake) -> None:
    # The one user changed years ago, the tables without a row never did; the heartbeat is new.
    now = states(lake, 1, 0)
    assert now.pop("bronze.changes") == now.pop("gold.orders_live") == "fresh"
    assert set(now.values()) == {"idle"}
    assert set(states(lake, 200, 199).values()) == {"stalled at land"}
    assert set(states(lake, 200, 0).values()) == {"stalled at capture"}


def test_a_table_whose_runs_stopped_is_stalled_at_refine_and_so_is_what_reads_it(lake: LightLake) -> None:
    beat(lake, BEGAN + timedelta(seconds=DAY_S))
    later = states(lake, DAY_S, DAY_S)
    assert later["bronze.changes"] == "fresh"
    assert {later[table.full_name] for table in tables.SOURCES} == {"stalled at refine"}
    assert later["gold.daily_sales"] == "stalled at refine"


def test_what_waits_is_counted_by_table_and_reason(lake: LightLake) -> None:
    (row,) = quarantine_counts.counts(lake.lake)
    assert (row["source_table"], row["reason"], row["waiting"]) == ("users", "bad_value", 1)
    assert datetime.now(UTC) - row["since"] < timedelta(hours=1)


def test_rows_are_counted_in_tables_histories_and_views(lake: LightLake) -> None:
    again = LightLake.at(lake.settings, lake.folder / "counted")
    order = {"order_id": 7, "user_id": 1, "status": "paid", "ordered_at": "2026-01-01T00:00:00Z", "total_usd": "5.00"}
    again.land("users", ("c", 10, user(1, "gold")), ("u", 20, user(1, "silver")), ("c", 20, user(2, "gold")), ("d", 30, user(2, "gold")))
    again.land("orders", ("c", 40, order), ("c", 40, {**order, "order_id": 8}))
    again.refine("users")
    again.refine("orders")
    found = {row.name: row.rows for row in status.collect(again.lake, datetime.now(UTC), lambda: Beat(sent_at=None, has_answered=False))}
    assert (found["bronze.changes"], found["silver.users"], found["silver.users_history"], found["silver.orders"]) == (6, 1, 3, 2)
    assert (found["gold.customers"], found["gold.customer_orders"], found["gold.daily_sales"]) == (1, 0, 0)
    assert found["gold.orders_live"] == 0, "they landed long ago"


def test_a_stopped_and_a_paused_table_say_so_with_the_cure(lake: LightLake) -> None:
    users, orders = tables.source("users"), tables.source("orders")
    store = Lake(lake.settings).states
    before = store.read(users)
    store.stop(users, "its schema changed: accept users")
    store.pause(orders, "ann", None)
    try:
        found = {row.name: row for row in status.collect(lake.lake, BEGAN, lambda: Beat(sent_at=None, has_answered=False))}
    finally:
        store.resume(orders)
        store.advance(store.read(users), replace(before, error=None))
    assert (found["silver.users"].state, found["silver.users"].error) == ("stopped", "its schema changed: accept users")
    assert "resume orders" in (found["silver.orders"].paused or "")
