"""What status says of real Delta tables: ages, states and what waits, asked in the SQL that goes over Thrift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import aggregate
from lakehouse import ledger, status, tables
from lakehouse.liveness import Beat
from lakehouse.settings import Settings
from tests.conftest import empty_lake
from tests.unit.lake import Lake, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# All times are counted from here, so that a slow machine changes no state.
BEGAN = datetime.now(UTC)
DAY_S = 24 * 3600


class Cursor:
    """A session that is asked like a Thrift cursor."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def execute(self, sql: str) -> None:
        self._frame = self._spark.sql(sql)
        self.description = [(name,) for name in self._frame.columns]

    def fetchall(self) -> list[Any]:
        return [tuple(row) for row in self._frame.collect()]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A shop with one user, refined and aggregated; a record of another waits."""
    made = Lake(spark, empty_lake(spark, lake_settings, tmp_path_factory.mktemp("status")))
    made.land("users", ("c", 10, user(1, "gold")), ("c", 20, {"user_id": 2, "birth_on": "no day"}))
    beat(made, BEGAN)
    for table in tables.SOURCES:
        made.refine(table.name)
    for gold in tables.GOLD:
        if not gold.is_view:
            aggregate.run(spark, made.settings, gold.name)
    return made


def beat(lake: Lake, at: datetime) -> None:
    """Land a heartbeat of that moment."""
    values = {"source_table": ledger.HEARTBEAT, "_landed_on": at.date(), "_landed_at": at, "lsn": 1, "commit_at": at, "headers": []}
    rows = [tuple(values.get(name) for name in ledger.CHANGES.column_names)]
    lake.spark.createDataFrame(rows, ledger.CHANGES.schema_ddl()).write.format("delta").mode("append").insertInto("bronze.changes")


def states(lake: Lake, after_s: float, sent_after_s: float) -> dict[str, str]:
    """Each table's state so long after BEGAN, where Kafka was last sent a heartbeat so long after it."""
    asked = Beat(sent_at=BEGAN + timedelta(seconds=sent_after_s), has_answered=True)
    found = status.collect(Cursor(lake.spark), BEGAN + timedelta(seconds=after_s), lambda: asked)
    return {row.name: row.state for row in found}


def test_a_quiet_shop_is_idle_and_one_whose_land_or_capture_stands_still_is_not(lake: Lake) -> None:
    # The one user changed years ago, the tables without a row never did; the heartbeat is new.
    now = states(lake, 1, 0)
    assert now.pop("bronze.changes") == now.pop("gold.orders_live") == "fresh"
    assert set(now.values()) == {"idle"}
    assert set(states(lake, 200, 199).values()) == {"stalled at land"}
    assert set(states(lake, 200, 0).values()) == {"stalled at capture"}


def test_a_table_whose_runs_stopped_is_stalled_at_refine_and_so_is_what_reads_it(lake: Lake) -> None:
    beat(lake, BEGAN + timedelta(seconds=DAY_S))
    later = states(lake, DAY_S, DAY_S)
    assert later["bronze.changes"] == "fresh"
    assert {later[table.full_name] for table in tables.SOURCES} == {"stalled at refine"}
    assert later["gold.daily_sales"] == "stalled at refine"


def test_what_waits_is_counted_by_table_and_reason(lake: Lake) -> None:
    (row,) = status.waiting_counts(Cursor(lake.spark))
    assert (row["source_table"], row["reason"], row["waiting"]) == ("users", "bad_value", 1)
    assert datetime.now(UTC) - row["since"] < timedelta(hours=1)
