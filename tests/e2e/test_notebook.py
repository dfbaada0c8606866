"""The notebook runs completely on the running platform."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT, Settings
from tests.e2e.conftest import Platform

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


def test_the_notebook_runs(platform: Platform, tmp_path: Path) -> None:
    platform.trade("SELECT count(*) FROM silver.orders", 20)
    subprocess.run([sys.executable, "infra/install", "notebook"], cwd=PROJECT, check=True, timeout=600)
    copy = tmp_path / "explore.ipynb"
    shutil.copy(PROJECT / "dashboards" / "notebooks" / "explore.ipynb", copy)
    jupyter = Settings.from_environment().home_dir / "venv" / "notebook" / "bin" / "jupyter"
    done = subprocess.run([jupyter, "execute", str(copy)], env=platform.environ, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
