"""The tutorial as written: its commands, in order, in one shell in the project's folder, on the running platform."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse import tables
from lakehouse.settings import PROJECT
from tests.e2e.conftest import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

PAGE = PROJECT / "infra" / "docs" / "tutorial.md"
# The platform of the tests is up, and stays up for the tests that follow.
LEFT_OUT = ("make demo\n", "make down\n")
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Where catch-up stood in the source's log.
_POSITION = re.compile(r"[0-9A-F]+/[0-9A-F]+\n")
_LIMIT_S = 1500


@pytest.fixture
def folder(platform: Platform, tmp_path: Path) -> Iterator[Path]:
    """The project's folder as the tutorial's reader has it: with `.ebap` in it, where the platform is."""
    for path in PROJECT.iterdir():
        if not path.name.startswith(".") or path.name == ".env":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / ".ebap").symlink_to(platform.settings.home_dir)
    yield tmp_path
    # Land was killed, as the tutorial wants it.
    until(lambda: platform.service("land")["state"] == "ready", 180, "land to be ready again")


def test_the_tutorial_runs_as_written(platform: Platform, folder: Path) -> None:
    blocks = _BLOCK.findall(PAGE.read_text())
    assert [block for block in blocks if block in LEFT_OUT] == list(LEFT_OUT)
    land = platform.service("land")
    with platform.postgres() as cursor:
        cursor.execute("SELECT price_usd FROM shop.products WHERE product_id = 1")
        before = cursor.fetchone()[0]

    script = "\n".join(f"echo '@ block'\n{block}" for block in blocks if block not in LEFT_OUT)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env={**platform.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )

    assert done.returncode == 0, f"exited with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    status, changed, caught_up, history, killed, compared = done.stdout.split("@ block\n")[1:]
    assert all(table.name in status for table in tables.SOURCES), status
    assert changed == ""
    assert _POSITION.fullmatch(caught_up), caught_up
    # The new price is the current version, the old one has ended.
    newest, older = [re.split(r" *│ *", line)[1:-1] for line in history.splitlines() if line.startswith("│")][:2]
    assert (newest[0], newest[2:]) == (str(2 * before), ["NULL", "True"])
    assert (older[0], older[2:]) == (str(before), [newest[1], "False"])
    assert _POSITION.fullmatch(killed) and platform.service("land")["pid"] != land["pid"]
    assert compared.count(", equal") == len(tables.SOURCES), compared
