"""Reconcile on the real platform while the shop trades: planted differences are named, only they, and the repair ends them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from lakehouse import platform_tables, tables
from lakehouse.health import airflow_client
from lakehouse.settings import PROJECT
from tests.e2e.conftest import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(2400)]

RATE = 60
GHOST = -7
STORED = platform_tables.stored(tables.source("users"))


@pytest.fixture(scope="module")
def trading(platform: Platform) -> Iterator[tuple[Platform, list[int]]]:
    """The platform under load, and three users whom the generator does not know."""
    with platform.postgres() as cursor:
        cursor.execute(
            "INSERT INTO shop.users (email, full_name, region, country, interests) SELECT 'planted' || i || '@example.org', 'Zoë 😀',"
            " 'EMEA', 'DE', '{\"a b\",NULL}' FROM generate_series(1, 3) i RETURNING user_id"
        )
        planted = [row[0] for row in cursor.fetchall()]
    platform.run("generator", "rate", str(RATE))
    platform.run("generator", "resume")
    try:
        yield platform, planted
    finally:
        platform.run("generator", "pause")


def reconcile(platform: Platform, *words: str) -> tuple[int, str]:
    """The command's exit code and what it printed, with the time it took."""
    began = time.monotonic()
    line = [sys.executable, "-m", "lakehouse", "reconcile", *words]
    done = subprocess.run(line, env=platform.environ, cwd=PROJECT, capture_output=True, text=True, timeout=1000, check=False)
    print(f"\nreconcile {' '.join(words)}: exit {done.returncode} in {time.monotonic() - began:.0f} s\n{done.stdout}{done.stderr[-3000:]}")
    return done.returncode, done.stdout


def in_silver(platform: Platform, statement: str) -> None:
    """Change silver behind refine's back; tried again where a run writes at the same time."""

    def is_done() -> bool:
        platform.sql(statement)
        return True

    until(is_done, 120, statement[:80])


def test_reconcile_names_what_was_planted_and_repairs_it_while_the_shop_trades(trading: tuple[Platform, list[int]]) -> None:
    platform, (lost, changed, kept) = trading
    code, said = reconcile(platform)
    assert code == 0, said
    assert said.count(", equal") == len(tables.SOURCES)
    rows = int(re.findall(r"silver\.orders as of .*?: (\d+) rows", said)[0])
    until(lambda: platform.sql("SELECT count(*) FROM silver.orders")[0][0] != rows, 300, "the load to go on")

    columns = ", ".join(f"{GHOST} AS `{name}`" if name == "user_id" else f"`{name}`" for name in STORED.column_names)
    in_silver(platform, f"INSERT INTO {STORED.full_name} SELECT {columns} FROM {STORED.full_name} WHERE user_id = {kept} AND _last")
    in_silver(platform, f"DELETE FROM {STORED.full_name} WHERE user_id = {lost}")
    in_silver(platform, f"UPDATE {STORED.full_name} SET full_name = 'Zoe' WHERE user_id = {changed} AND _last")
    code, said = reconcile(platform, "users", "orders")
    assert code == 1
    assert f"1 missing in silver: user_id={lost}\n" in said
    assert f"1 ghosts, not in the source: user_id={GHOST}\n" in said
    assert f"1 different: user_id={changed} (full_name)\n" in said
    assert re.search(r"silver\.orders as of .*, equal", said)

    code, said = reconcile(platform, "users", "--repair")
    assert code == 0, said
    assert reconcile(platform, "users")[0] == 0
    shown = platform.sql(f"SELECT user_id, full_name FROM silver.users WHERE user_id IN ({GHOST}, {lost}, {changed}) ORDER BY user_id")
    assert shown == [(lost, "Zoë 😀"), (changed, "Zoë 😀")]
    verified = platform.sql("SELECT source_table FROM silver.reconciliations WHERE verified_through = checked_at ORDER BY 1")
    assert ("users",) in verified


def test_the_dag_compares_every_table(trading: tuple[Platform, list[int]]) -> None:
    platform, _ = trading
    assert airflow_client.finish(platform.settings, "reconcile", 900) == []
    until(lambda: platform.sql("SELECT count(*) FROM silver.reconciliations")[0][0] == len(tables.SOURCES), 60, "a record of every table")
