"""Lakes of synthetic changes, written directly to bronze, for the lines that need no platform.

Such a line runs in its own Spark process, with the heap size of the Spark server.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.lake import catalog, ddl, storage
from lakehouse.settings import PROJECT, Settings
from lakehouse.silver import heavy_refine
from lakehouse.spark import session
from tests.bench import scratch
from tests.bench.sides import begin
from tests.e2e.own_postgres import running_postgres

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

# Log positions per turn, leaving room for changes between two turns.
TURN = 10_000_000_000
# Keys per refine when a lake is filled: a table and its files grow in key order.
SLICE = 100_000
_TIERS = "array('bronze', 'silver', 'gold')"
_ROW = """named_struct(
    'user_id', user_id, 'email', concat('u', user_id, '@example.org'),
    'full_name', concat('Customer ', user_id, ' of turn ', turn, '{mark}'),
    'region', element_at(array('AMER', 'EMEA', 'APAC', 'LATAM'), CAST(1 + user_id % 4 AS INT)), 'country', 'NL',
    'tier', element_at({tiers}, CAST(1 + (user_id + turn) % 3 AS INT)), 'marketing_opt_in', user_id % 2 = 0,
    'interests', array('books', 'garden'), 'preferences', '{{"theme":"dark"}}', 'birth_on', '1990-01-01Z',
    'created_at', '2026-01-01T00:00:00Z', 'updated_at', date_format(at, "yyyy-MM-dd'T'HH:mm:ss'Z'"))"""


def run_apart(settings: Settings, line: str, module: str) -> None:
    """Run a line's module in its own Spark process."""
    begin(line)
    # The JVM's options must be set before a session starts it.
    conf = session.heap(settings) | {"spark.ui.showConsoleProgress": "false"}
    options = [f"--conf {shlex.quote(f'{name}={value}')}" for name, value in conf.items()]
    env = {**os.environ, "PYSPARK_SUBMIT_ARGS": " ".join([*options, "pyspark-shell"])}
    done = subprocess.run([sys.executable, "-m", module], cwd=PROJECT, env=env, check=False)
    if done.returncode:
        sys.exit(f"bench: {module} exited with {done.returncode}")


@contextmanager
def scene() -> Iterator[tuple[SparkSession, Callable[[str], Settings], Path]]:
    """A session without a metastore, a function that makes a lake of that name, and the temporary folder with the lakes.

    Each lake has a Postgres of its own for the state of its tables, until the scene ends.
    """
    settings = Settings.from_environment()
    spark = session.classic(settings, metastore=False)
    spark.sparkContext.setLogLevel("ERROR")
    with scratch.folder(settings) as folder, ExitStack() as servers:

        def lake(name: str) -> Settings:
            own = servers.enter_context(running_postgres(folder / f"home-{name}"))
            return replace(settings, lake=f"file://{folder}/{name}", home=own.home, postgres_port=own.postgres_port)

        yield spark, lake, folder


def use(spark: SparkSession, settings: Settings) -> None:
    """Point the session's catalog to that lake; the files of the previous lake are kept."""
    for name in [*ddl.view_names(), *(table.full_name for table in ddl.stored_tables())]:
        if spark.catalog.databaseExists(name.split(".")[0]) and spark.catalog.tableExists(name):
            spark.sql(f"DROP {'VIEW' if name in ddl.view_names() else 'TABLE'} {name}")
    catalog.bring_up(spark, settings)


def grow(spark: SparkSession, settings: Settings, keys: int, versions: int) -> None:
    """Fill an empty lake with that many users and versions per user, in key order."""
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
    """One commit to bronze of users' changes (`user_id`, `turn`), each in its own transaction; returns the commit's version.

    `late` places them between their turn and the next, a greater number later; `again` is added to the offsets of a repeat.
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
