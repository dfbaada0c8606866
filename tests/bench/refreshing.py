"""Line 7: a refresh of gold after a change of one percent of the order lines in two of ninety days, against a full recompute.

The gold tables computed from `gold.order_lines`: EBAP refreshes the changed days in this process, Spark and DuckDB recompute everything,
from the same files. All three write their results, which have the same rows after each round.
"""

from __future__ import annotations

import argparse
import os
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import duckdb

from lakehouse import tables
from lakehouse.definitions import COUNTED_STATUSES
from lakehouse.gold import aggregate
from lakehouse.gold import heavy_aggregate as by_spark
from lakehouse.lake import storage
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.transforms.gold import sql_files
from tests.bench import synthetic
from tests.bench.sides import Run, agree, compare, measured

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LINES = 3_000_000
DAYS = 90
ROUNDS = 5
_LINES_AN_ORDER = 3
_PRODUCTS = 2000
_FIRST = date(2026, 1, 1)
_GROUPS = {"daily_sales": ("category", "region"), "product_daily": ("product_id",)}


def gold_refresh(settings: Settings) -> None:
    """Run this line in its own Spark process."""
    synthetic.run_apart(settings, f" 7  gold after a change of 1 % of {LINES:,} order lines in 2 of {DAYS} days", __name__)


def main() -> None:
    """Measure and report every ratio of the line."""
    parser = argparse.ArgumentParser(prog="tests.bench.refreshing")
    for name, value in (("lines", LINES), ("rounds", ROUNDS)):
        parser.add_argument(f"--{name}", type=int, default=value)
    size = parser.parse_args()
    with synthetic.scene() as (spark, made, folder):
        lake = made("gold")
        synthetic.use(spark, lake)
        storage.replace_slices(spark, tables.gold("order_lines"), _lines(spark, size.lines, DAYS, "0"), None)
        for name in _GROUPS:
            by_spark.run(spark, lake, name)
        runs: dict[str, list[tuple[Run, Run, Run]]] = {name: [] for name in _GROUPS}
        for number in range(size.rounds + 1):
            _change(spark, size.lines, number)
            for name, of_table in runs.items():
                of_table.append(_refreshed(spark, lake, folder, name))
        for name, of_table in runs.items():
            ours, spark_runs, duckdb_runs = ([run[side] for run in of_table[1:]] for side in range(3))
            compare(f"{name}, Spark's full recompute / refresh (target at least 5)", spark_runs, ours)
            compare(f"{name}, refresh / DuckDB's full recompute (target at most 3)", ours, duckdb_runs)


def _refreshed(spark: SparkSession, lake: Settings, folder: Path, name: str) -> tuple[Run, Run, Run]:
    """Runs of the refresh of one table and of its two peers; exits if their rows differ."""
    done: list[aggregate.AggregateResult] = []
    ours = measured(lambda: done.append(aggregate.run(Lake(lake), name)))
    if len(done[0].slices) != 2:
        raise SystemExit(f"bench: {name} was refreshed in {len(done[0].slices)} days, 2 had changed")
    copy, file = f"file://{folder}/full_{name}", folder / f"{name}.parquet"
    full = measured(partial(_in_spark, spark, name, copy))
    paths = [unquote(urlparse(path).path) for path in spark.read.table("gold.order_lines").inputFiles()]
    beside = measured(partial(_in_duckdb, name, paths, file))
    rows = _rows(spark.read.table(f"gold.{name}"))
    agree(name, rows, _rows(spark.read.format("delta").load(copy)))
    agree(name, rows, duckdb.execute(f"SELECT * FROM read_parquet('{file}')").fetchall())
    return ours, full, beside


def _in_spark(spark: SparkSession, name: str, copy: str) -> None:
    rows = spark.sql(sql_files.select(tables.gold(name)))
    rows.write.format("delta").mode("overwrite").save(copy)


def _in_duckdb(name: str, paths: list[str], file: Path) -> None:
    groups = ", ".join(_GROUPS[name])
    orders = "count(DISTINCT order_id) AS orders, " if name == "daily_sales" else ""
    query = (
        f"SELECT ordered_on AS day, {groups}, {orders}sum(quantity)::BIGINT AS units, "
        f"sum(quantity * unit_price_usd)::DECIMAL(18, 2) AS revenue_usd FROM read_parquet({paths}, hive_partitioning = true) "
        f"WHERE status IN {COUNTED_STATUSES} GROUP BY ALL"
    )
    with duckdb.connect(config={"threads": os.cpu_count() or 1}) as database:
        database.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")


def _rows(frame: DataFrame) -> list[Any]:
    return [tuple(row) for row in frame.collect()]


def _change(spark: SparkSession, lines: int, number: int) -> None:
    """Change the quantity of one percent of the lines, all within two consecutive days."""
    days = [_FIRST + timedelta(days=(2 * number + day) % DAYS) for day in range(2)]
    share = DAYS / 2 / 100
    table = tables.gold("order_lines")
    is_hit = f"order_id % 100 < {100 * share:.0f}"
    wanted = ", ".join(f"DATE'{day}'" for day in days)
    rows = _lines(spark, lines, DAYS, f"CAST({is_hit} AS INT) * {number + 1}").where(f"ordered_on IN ({wanted})")
    storage.replace_slices(spark, table, rows, days)


def _lines(spark: SparkSession, lines: int, days: int, extra: str) -> DataFrame:
    """That many order lines, their orders spread over the days in order; `extra` units added to each."""
    orders = -(-lines // _LINES_AN_ORDER)
    columns = {
        "order_id": f"id DIV {_LINES_AN_ORDER}",
        "line_no": f"1 + id % {_LINES_AN_ORDER}",
        "ordered_on": f"date_add(DATE'{_FIRST}', CAST(id DIV {_LINES_AN_ORDER} * {days} DIV {orders} AS INT))",
        "product_id": f"pmod(xxhash64(id), {_PRODUCTS})",
        "quantity": f"1 + pmod(xxhash64(id, 1), 5) + {extra}",
        "unit_price_usd": "(100 + pmod(xxhash64(id, 2), 9900)) / 100",
        "status": "element_at(array('placed', 'paid', 'shipped', 'delivered', 'cancelled'), CAST(1 + pmod(xxhash64(id, 3), 5) AS INT))",
        "list_price_usd": "(100 + pmod(xxhash64(id, 2), 9900)) / 100",
        "category": f"concat('category ', pmod(xxhash64(id), {_PRODUCTS}) % 12)",
        "region": "element_at(array('AMER', 'EMEA', 'APAC', 'LATAM'), CAST(1 + pmod(xxhash64(id, 4), 4) AS INT))",
        "tier": "'gold'",
        "is_assumed": "false",
    }
    ids = spark.range(0, lines, numPartitions=2).selectExpr("id", f"{columns['order_id']} AS order_id")
    typed = [f"CAST({columns[column.name]} AS {column.type}) AS {column.name}" for column in tables.gold("order_lines").columns]
    return ids.selectExpr(*typed)


if __name__ == "__main__":
    main()
