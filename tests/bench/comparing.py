"""Line 14: reconciling a table of a million rows, against reading every column of both sides once, concurrently."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg2

from lakehouse import platform_tables, tables
from lakehouse.lake import catalog, storage
from lakehouse.reconcile import compare
from lakehouse.reconcile.source_side import taken
from lakehouse.settings import PROJECT, Settings
from lakehouse.spark import session
from tests.bench import scratch
from tests.bench.sides import begin, report, timed
from tests.e2e.own_postgres import running_postgres

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 1_000_000
ROUNDS = 3
USERS = tables.source("users")
# Per column: its value as a function of i, in Postgres and in Spark.
_VALUES = {
    "user_id": ("i", "i"),
    "email": ("'user' || i || '@example.org'", "'user' || i || '@example.org'"),
    "full_name": ("'Full Name ' || i", "'Full Name ' || i"),
    "region": ("'EMEA'", "'EMEA'"),
    "country": ("'DE'", "'DE'"),
    "tier": ("'gold'", "'gold'"),
    "marketing_opt_in": ("i % 2 = 0", "i % 2 = 0"),
    "interests": ("ARRAY['books', 'garden']", "array('books', 'garden')"),
    "preferences": ("jsonb_build_object('n', i, 'theme', 'dark')", """'{"n": ' || i || ', "theme": "dark"}'"""),
    "birth_on": ("DATE '1990-01-01' + i % 9000", "date_add(DATE'1990-01-01', CAST(i % 9000 AS INT))"),
    "created_at": ("to_timestamp(1767225600 + i)", "timestamp_seconds(1767225600 + i)"),
    "updated_at": ("to_timestamp(1767225600 + i)", "timestamp_seconds(1767225600 + i)"),
}
_STORED = {"_kind": "'read'", "_epoch": "1", "_lsn": "100", "_offset": "i", "_last": "true", "_is_visible": "true", "_is_blocked": "false"}


class _Discard:
    """A sink for COPY that discards its input."""

    def write(self, _: bytes) -> None:
        """Discard the data."""


def reconciliation_line(settings: Settings) -> None:
    """Run this line in its own Spark process."""
    begin(f"14  reconciling {ROWS:,} rows / reading both sides once")
    done = subprocess.run([sys.executable, "-m", "tests.bench.comparing"], cwd=PROJECT, env=dict(os.environ), check=False)
    if done.returncode:
        sys.exit(f"bench: line 14 ended with {done.returncode}")


def main() -> None:
    """Fill both sides with the same rows, and compare them."""
    settings = Settings.from_environment()
    spark = session.classic(settings, metastore=False)
    spark.sparkContext.setLogLevel("ERROR")
    with scratch.folder(settings) as folder, running_postgres(folder / "home") as own:
        scratch_settings = replace(settings, home=own.home, postgres_port=own.postgres_port, source_dsn="", lake=f"file://{folder}/lake")
        _fill(spark, scratch_settings)
        _round(spark, scratch_settings)
        rounds = [_round(spark, scratch_settings) for _ in range(ROUNDS)]
        both_s, compared_s = zip(*rounds, strict=True)
        report("reconciled / read", [b / a for a, b in rounds], f"{min(compared_s):.1f} s against {min(both_s):.1f} s")


def _fill(spark: SparkSession, settings: Settings) -> None:
    catalog.bring_up(spark, settings)
    with closing(psycopg2.connect(settings.shop_dsn, password=settings.secret("shop_owner"))) as connection, connection.cursor() as cursor:
        cursor.execute((PROJECT / "generator" / "schema.sql").read_text())
        selected = ", ".join(of_postgres for of_postgres, _ in _VALUES.values()).replace("'gold'", "'gold'::shop.user_tier")
        cursor.execute(f"INSERT INTO shop.users ({', '.join(_VALUES)}) SELECT {selected} FROM generate_series(1, {ROWS}) i")
        connection.commit()
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE shop.users")
    texts = {name: of_spark for name, (_, of_spark) in _VALUES.items()} | _STORED
    stored = platform_tables.stored(USERS)
    columns = [f"CAST({texts.get(c.name, 'NULL')} AS {c.type}) AS `{c.name}`" for c in stored.columns]
    rows = spark.range(1, ROWS + 1).withColumnRenamed("id", "i").selectExpr(*columns)
    storage.replace_where(spark, stored, rows, "true")


def _round(spark: SparkSession, settings: Settings) -> tuple[float, float]:
    """Seconds to read both sides, and seconds to compare them."""
    with taken(settings) as (snapshot, cursor):
        read_s, _ = timed(lambda: _read(spark, cursor))
        compared_s, outcome = timed(lambda: compare.compared(spark, settings, USERS, snapshot, cursor))
    if not outcome.is_equal or outcome.found.rows != ROWS:
        sys.exit(f"bench: the two sides of line 14 have different rows: {outcome}")
    return read_s, compared_s


def _read(spark: SparkSession, cursor: Any) -> None:
    columns = ", ".join(USERS.column_names)
    with ThreadPoolExecutor(1) as beside:
        source = beside.submit(cursor.copy_expert, f"COPY (SELECT {columns} FROM shop.users) TO STDOUT", _Discard())
        spark.read.table(USERS.full_name).write.format("noop").mode("overwrite").save()
        source.result()


if __name__ == "__main__":
    main()
