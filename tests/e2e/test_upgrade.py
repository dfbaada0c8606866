"""A lake and a home folder of an earlier release under this one: what they hold stays as it was written, and grows from there.

The earlier release is checked out from the project's own history, demonstrated, stopped, and replaced by this one in the same checkout.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from lakehouse import platform_tables, tables
from lakehouse.lake.lake import Lake
from lakehouse.settings import PROJECT, Settings
from lakehouse.settings_live import LiveSettings
from lakehouse.spark import thrift
from tests.e2e.conftest import free_ports, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

# The last commit whose every refine was a Spark job, and its command to wait for what is committed.
BEFORE, WAIT = "b87c4a3", "fence"
SILVER = ("users", "products", "orders", "order_items")


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A checkout of the earlier release; skipped where the history was not cloned."""
    with tempfile.TemporaryDirectory(prefix="ebap-upgrade-") as home:
        # Postgres does not run as root: another account reads its programs here.
        Path(home).chmod(0o755)
        folder = Path(home) / "ebap"
        subprocess.run(["git", "clone", "-q", "--no-checkout", str(PROJECT), str(folder)], check=True)
        if subprocess.run(["git", "checkout", "-q", BEFORE], cwd=folder, check=False, capture_output=True).returncode:
            pytest.skip(f"{BEFORE} is not in the history of this clone")
        yield folder


def test_a_lake_of_an_earlier_release_goes_on_without_a_rebuild(checkout: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("EBAP_", "PYTHON", "VIRTUAL_ENV"))}
    # The earlier release refuses settings that it does not know.
    unknown = {f"EBAP_{entry.name.upper()}" for entry in fields(LiveSettings)}
    environ |= {name: port for name, port in free_ports().items() if name not in unknown}
    settings = Settings.from_environment({**environ, "EBAP_HOME": str(checkout / ".ebap")})

    def run(*command: str, limit_s: float = 900) -> str:
        done = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, timeout=limit_s, check=False)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def lakehouse(*words: str) -> str:
        python = checkout / ".ebap" / "venv" / "main" / "bin" / "python"
        return run("env", "PYTHONPATH=spark_apps", str(python), "-m", "lakehouse", *words)

    try:
        run("make", "demo", limit_s=1800)
        run("make", "pause")
        lakehouse(WAIT, "--timeout", "600")
        before, files = _counts(settings), _files(settings)
        run("make", "down")
        # As it was when this began: the project's own may have gone on.
        run("git", "checkout", "-q", "origin/HEAD")
        run("make", "up", limit_s=1800)
        lakehouse("catch-up", "--timeout", "600")
        assert _counts(settings) == before
        assert files <= _files(settings), "a table was written anew"

        run("make", "resume")
        _until_more(settings, before["orders"])
        run("make", "pause")
        lakehouse("catch-up", "--timeout", "600")
        lakehouse("reconcile")
        after = _counts(settings)
        assert all(after[name] >= count for name, count in before.items()), (before, after)
        assert after["orders"] > before["orders"]
    finally:
        subprocess.run(["make", "down"], cwd=checkout, env=environ, check=False, capture_output=True)


def _counts(settings: Settings) -> dict[str, int]:
    names = [f"silver.{name}_history" for name in SILVER if name != "order_items"]
    names += ["silver.order_items", "gold.order_lines", "gold.daily_sales"]
    rows = thrift.query(settings, " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in names))[1]
    return {name.partition(".")[2].removesuffix("_history"): count for name, count in rows}


def _files(settings: Settings) -> set[str]:
    """The live files of the stored silver tables."""
    lake = Lake(settings)
    return {path for name in SILVER for path in lake.snapshot(platform_tables.stored(tables.source(name))).by_path}


def _until_more(settings: Settings, orders: int) -> None:
    query = "SELECT count(*) FROM silver.orders_history"
    until(lambda: thrift.query(settings, query)[1][0][0] > orders + 200, 400, "silver to grow by 200 versions of orders")
