"""Personal values in gold: none raw, by planted values over every declaration; where a table declares it, a keyed hash."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.contract import Column, Table
from lakehouse.gold import aggregate as light_aggregate
from lakehouse.gold import heavy_aggregate, pseudonyms
from lakehouse.lake.lake import Lake as LakeHere
from tests.conftest import empty_lake
from tests.unit.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

SECRET = "0123456789abcdef-secret"


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One paid order of one account, and in each personal column of a source table a value of its own; all of it in gold."""
    settings = empty_lake(spark, lake_settings, tmp_path_factory.mktemp("pseudonyms"))
    settings.secret_file(pseudonyms.SECRET).write_text(SECRET)
    settings.secret_file(pseudonyms.SECRET).chmod(0o600)
    made = Lake(spark, settings)
    moment = {"ordered_at": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z"}
    known = {"user_id": 1, "order_id": 1, "line_no": 1, "product_id": 1, "quantity": 1, "status": "paid", "tier": "gold", "region": "EMEA"}
    for number, table in enumerate(tables.SOURCES):
        row = {name: value for name, value in {**moment, **known, "unit_price_usd": "2.00"}.items() if name in table.column_names}
        made.land(table.name, ("c", 10 + number, row | _planted(table)))
        made.refine(table.name)
    for table in tables.GOLD:
        if not table.is_view:
            heavy_aggregate.run(spark, settings, table.name)
    return made


def _planted(table: Table) -> dict[str, str]:
    day = {"DATE": "1871-01-18Z"}
    return {c.name: day.get(c.type, f"planted {table.name} {c.name}") for c in table.columns if c.pii}


def _shown(lake: Lake) -> set[str]:
    """Names of gold tables and views in which a planted value stands."""
    found = set()
    for table in tables.GOLD:
        text = F.to_json(F.struct(*table.column_names))
        if not lake.spark.table(table.full_name).where(text.rlike("planted|1871-01-18")).isEmpty():
            found.add(table.full_name)
    return found


def test_no_gold_table_or_view_shows_a_personal_value(lake: Lake) -> None:
    for name in ("customers", "order_lines", "customer_orders", "daily_sales"):
        assert not lake.spark.table(f"gold.{name}").isEmpty(), f"gold.{name} says nothing: the search would prove nothing"
    assert _shown(lake) == set()


def test_the_search_sees_a_view_that_leaks(lake: Lake) -> None:
    """The negative control: a declared column that is quietly filled from a personal one."""
    columns = ", ".join(f"c.`{name}`" for name in tables.gold("customers").column_names if name != "tier")
    select = lake.spark.sql(f"SELECT {columns}, u.email AS tier FROM gold.customers AS c JOIN silver.users AS u ON u.user_id = c.user_id")
    select.write.format("parquet").saveAsTable("silver.leaking")
    lake.spark.sql("CREATE OR REPLACE VIEW gold.customers AS SELECT * FROM silver.leaking")
    assert _shown(lake) == {"gold.customers"}


def test_a_hash_is_the_hmac_that_everyone_else_computes(spark: SparkSession) -> None:
    values = ["ann@x.io", "", "Zoë \U0001f600", "x" * 1000, None]
    rows = spark.createDataFrame([(value,) for value in values], "email STRING")
    for secret in (SECRET, "s", "x" * 64):
        made = [row["h"] for row in rows.select(pseudonyms.hmac_sha256(F.col("email"), secret.encode()).alias("h")).collect()]
        wanted = [v if v is None else hmac.new(secret.encode(), v.encode(), hashlib.sha256).hexdigest() for v in values]
        assert made == wanted


def test_a_column_declared_hashed_is_stored_so(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    sales = tables.gold("daily_sales")
    hashed = Column(name="region", type="STRING", doc="Hash of the region.", pii=True, hashed=True)
    declared = dataclasses.replace(sales, columns=tuple(hashed if c.name == "region" else c for c in sales.columns))
    known = tables.gold
    monkeypatch.setattr(tables, "gold", lambda name: declared if name == "daily_sales" else known(name))
    days: list[Any] = [row["day"] for row in lake.spark.table("gold.daily_sales").collect()]
    heavy_aggregate.run(lake.spark, lake.settings, "daily_sales", days)
    (row,) = lake.spark.table("gold.daily_sales").collect()
    assert row["region"] == hmac.new(SECRET.encode(), b"EMEA", hashlib.sha256).hexdigest()
    again = light_aggregate.run(LakeHere(lake.settings), "daily_sales", days)
    assert (again.recomputed, again.changed) == (tuple(days), False), "in this process the hash is another one"
