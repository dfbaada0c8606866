"""Lakes of synthetic changes for the lines that need no platform: made, shown by the session's catalog, landed straight into bronze.

A line of this kind runs in a Spark process of its own, with the heap of the warm server.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.lake import catalog, ddl, storage
from lakehouse.settings import PROJECT, Settings
from lakehouse.silver import heavy_refine
from lakehouse.spark import session
from tests.bench import scratch
from tests.bench.sides import begin

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

# Positions of one turn, so that a change between two turns has room.
TURN = 10_000_000_000
# Keys that one refine takes in when a lake is made: a table grows by its newest keys, and its files with it.
SLICE = 100_000
_TIERS = "array('bronze', 'silver', 'gold')"
_ROW = """named_struct(
    'user_id', user_id, 'email', concat('u', user_id, '@example.org'),
    'full_name', concat('Customer ', user_id, ' of turn ', turn, '{mark}'),
    'region', element_at(array('AMER', 'EMEA', 'APAC', 'LATAM'), CAST(1 + user_id % 4 AS INT)), 'country', 'NL',
    'tier', element_at({tiers}, CAST(1 + (user_id + turn) % 3 AS INT)), 'marketing_opt_in', user_id % 2 = 0,
    'interests', array('books', 'garden'), 'preferences', '{{"theme":"dark"}}', 'birth_on', '1990-01-01Z',
    'created_at', '2026-01-01T00:00:00Z', 'updated_at', date_format(at, "yyyy-MM-dd'T'HH:mm:ss'Z'"))"""


def apart(settings: Settings, line: str, module: str) -> None:
    """Run a line's module in a Spark process of its own."""
    begin(line)
    # The JVM starts before a session can say what it wants of it.
    conf = session.heap(settings) | {"spark.ui.showConsoleProgress": "false"}
    wanted = [f"--conf {shlex.quote(f'{name}={value}')}" for name, value in conf.items()]
    env = {**os.environ, "PYSPARK_SUBMIT_ARGS": " ".join([*wanted, "pyspark-shell"])}
    done = subprocess.run([sys.executable, "-m", module], cwd=PROJECT, env=env, check=False)
    if done.returncode:
        sys.exit(f"bench: {module} ended with {done.returncode}")


@contextmanager
def scene() -> Iterator[tuple[SparkSession, Settings, Path]]:
    """A session without a metastore, the settings, and a folder for lakes that is gone afterwards."""
    settings = Settings.from_environment()
    spark = session.classic(settings, metastore=False)
    spark.sparkContext.setLogLevel("ERROR")
    with scratch.folder(settings) as folder:
        yield spark, settings, folder


def lake(settings: Settings, folder: Path, name: str) -> Settings:
    """Settings of a lake of its own."""
    return replace(settings, lake=f"file://{folder}/{name}")


def use(spark: SparkSession, settings: Settings) -> None:
    """Have the session's catalog show that lake; its files stay where they are when it shows another."""
    for name in [*ddl.view_names(), *(table.full_name for table in ddl.stored_tables())]:
        if spark.catalog.databaseExists(name.split(".")[0]) and spark.catalog.tableExists(name):
            spark.sql(f"DROP {'VIEW' if name in ddl.view_names() else 'TABLE'} {name}")
    catalog.bring_up(spark, settings)


def grow(spark: SparkSession, settings: Settings, keys: int, versions: int) -> None:
    """Fill an empty lake with that many versions of so many users, the newest keys last."""
    use(spark, settings)
    for first in range(0, keys, SLICE):
        last = min(first + SLICE, keys)
        ids = f"id DIV {versions} AS user_id", f"id % {versions} AS turn"
        land(spark, spark.range(first * versions, last * versions, numPartitions=2).selectExpr(*ids))
        heavy_refine.run(spark, settings, "users")


def picked(spark: SparkSession, keys: Sequence[int], turn: int) -> DataFrame:
    """One change of each key at that turn."""
    ids = spark.range(keys[0], keys[-1] + 1, keys[1] - keys[0] if len(keys) > 1 else 1, numPartitions=1)
    return ids.selectExpr("id AS user_id", f"{turn}L AS turn")


def land(spark: SparkSession, changes: DataFrame, late: int = 0, again: int = 0) -> int:
    """One commit to bronze of users' changes (`user_id`, `turn`), each a transaction of its own; the commit's version.

    `late` puts them between their turn and the next, a greater number later; `again` gives a repeat its later offsets.
    """
    seconds = f"1767225600 + turn * 3600 + {late} + user_id % 60"
    placed = changes.selectExpr("*", f"(turn + 1) * {TURN} + {late} * 100000000 + user_id AS lsn", f"timestamp_seconds({seconds}) AS at")
    op = f"IF(turn = 0 AND {late} = 0, 'c', 'u')"
    row = _ROW.format(tiers=_TIERS, mark=", late" if late else "")
    source = (
        "named_struct('schema', 'shop', 'table', 'users', 'lsn', lsn, 'txId', lsn, 'ts_us', unix_micros(at), 'sequence', "
        "concat('[\"', lsn - 1, '\",\"', lsn, '\"]'))"
    )
    value = f"to_json(named_struct('op', {op}, 'source', {source}, 'after', {row}))"
    columns = {
        "source_table": "'users'",
        "_landed_on": "date(at)",
        "_landed_at": "at",
        "topic": f"'{platform_tables.topic('users')}'",
        "partition": "0",
        "offset": f"lsn + {again}",
        "kafka_at": "at",
        "key": "encode(to_json(named_struct('user_id', user_id)), 'UTF-8')",
        "value": f"encode({value}, 'UTF-8')",
        "headers": "array()",
        "epoch": "1",
        "op": op,
        "lsn": "lsn",
        "sequence": "'[null]'",
        "txid": "lsn",
        "commit_at": "at",
    }
    typed = [f"CAST({columns[column.name]} AS {column.type}) AS `{column.name}`" for column in platform_tables.CHANGES.columns]
    placed.selectExpr(*typed).write.format("delta").mode("append").insertInto(storage.BRONZE)
    return storage.bronze_version(spark)
