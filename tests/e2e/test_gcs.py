"""The lake on gs://: land, refine, aggregate, compact and the Thrift Server through Google's own connector, against an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lakehouse import tables
from lakehouse.delta import objects
from lakehouse.lake import compaction, ddl
from lakehouse.spark import session
from tests.e2e.conftest import Platform, running_platform, until
from tests.gcs import emulator

pytestmark = [pytest.mark.gcs, pytest.mark.timeout(1500)]

LAKE = "gs://ebap-lake/shop"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Platform]:
    """A platform without Airflow whose lake is in a bucket that it made itself."""
    with emulator() as address, running_platform("boards", "generator", EBAP_LAKE=LAKE, EBAP_GCS_ENDPOINT=address) as made:
        yield made


def counted(cloud: Platform) -> dict[str, int]:
    """Rows of every silver table in Postgres and over Thrift, which must be the same."""
    with cloud.postgres() as cursor:
        found = {}
        for table in tables.SOURCES:
            cursor.execute(f"SELECT count(*) FROM shop.{table.name}")
            found[table.name] = cursor.fetchone()[0]
    assert {name: cloud.sql(f"SELECT count(*) FROM silver.{name}")[0][0] for name in found} == found
    return found


def test_from_a_commit_to_gold(cloud: Platform) -> None:
    cloud.run("generator", "rate", "50")
    cloud.trade("SELECT count(*) FROM gold.orders_live", 100)
    found = counted(cloud)
    assert found["orders"] > 100
    assert cloud.sql("SELECT count(DISTINCT order_id) FROM gold.order_lines")[0][0] == found["orders"]
    with cloud.postgres() as cursor:
        cursor.execute("SELECT sum(total_usd) FROM shop.orders")
        assert cloud.sql("SELECT sum(total_usd) FROM silver.orders")[0][0] == cursor.fetchone()[0]


def test_a_killed_land_loses_and_doubles_nothing(cloud: Platform) -> None:
    cloud.run("generator", "resume")
    cloud.kill("land")
    cloud.run("generator", "pause")
    cloud.catch_up()
    counted(cloud)
    places = "SELECT count(*), count(DISTINCT topic, partition, offset) FROM bronze.changes"
    ((rows, distinct),) = cloud.sql(places)
    assert rows == distinct


def test_every_table_is_compacted_and_says_the_same(cloud: Platform) -> None:
    before = counted(cloud)
    spark = session.connect(cloud.settings)
    try:
        for table in ddl.stored_tables():
            result = compaction.run(spark, cloud.settings, table.full_name, is_vacuum_due=True)
            assert result.has_vacuumed
            assert result.after.count <= result.before.count
            print(result)
    finally:
        spark.stop()
    assert counted(cloud) == before
    sizes = objects.bytes_by_table(cloud.settings)
    assert sizes.keys() >= {table.full_name for table in ddl.stored_tables() if table.full_name != "silver.quarantine"}


def test_two_writers_of_one_table_lose_nothing(cloud: Platform) -> None:
    """Every commit that was said to be done is there: the emulator would let both win if an upload's condition were ignored."""
    path = f"{LAKE}/two_writers"
    spark = session.connect(cloud.settings)
    spark.sql(f"CREATE TABLE delta.`{path}` (writer INT, number INT) USING DELTA")
    spark.stop()

    def write(writer: int) -> int:
        own = session.connect(cloud.settings)
        try:
            for number in range(15):
                own.sql(f"INSERT INTO delta.`{path}` VALUES ({writer}, {number})")
            return 15
        finally:
            own.stop()

    with ThreadPoolExecutor(2) as pool:
        done = sum(pool.map(write, range(2)))
    assert cloud.sql(f"SELECT count(DISTINCT writer, number) FROM delta.`{path}`")[0][0] == done == 30


def test_status_counts_the_bytes_of_each_table_in_the_bucket(cloud: Platform) -> None:
    status = until(lambda: cloud.status(), 60, "the status")
    sizes = {table["name"]: table["bytes"] for table in status["tables"]}
    assert sizes["bronze.changes"] > 0
    assert sizes["gold.daily_sales"] > 0
    assert sizes["silver.orders"] > 0
    assert sizes["silver.orders_history"] is None
