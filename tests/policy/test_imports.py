"""`lint-imports` (part of `make check`) sees an import that points the wrong way: in a copy with one, it fails and names it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT

BUILT_ON_IT = ("infra", "generator", "dashboards", "tests")
LINTER = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package in a folder of its own."""
    return shutil.copytree(PROJECT / "spark_apps" / "lakehouse", tmp_path / "lakehouse", ignore=shutil.ignore_patterns("__pycache__"))


def _linted(copy: Path) -> subprocess.CompletedProcess[str]:
    # The current folder is looked into first.
    command: list[str | Path] = [LINTER, "--no-cache", "--no-logo", PROJECT / "pyproject.toml"]
    return subprocess.run(command, cwd=copy.parent, capture_output=True, text=True, check=False)


def test_the_package_as_it_is_passes(copy: Path) -> None:
    done = _linted(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "named"),
    [
        ("delta/log.py", "from lakehouse.silver import refine", "lakehouse.delta.log -> lakehouse.silver.refine"),
        ("spark/thrift.py", "def late():\n    from lakehouse.cli import docs", "lakehouse.spark.thrift -> lakehouse.cli.docs"),
        ("transforms/records/values.py", "from lakehouse.transforms.history import fold", "values -> lakehouse.transforms.history.fold"),
        ("health/status.py", "from infra.nodes import cost", "lakehouse.health.status -> infra"),
        ("health/status.py", "import vm_tasks", "lakehouse.health.status -> vm_tasks"),
    ],
)
def test_an_import_that_points_the_wrong_way_is_named(copy: Path, module: str, line: str, named: str) -> None:
    file = copy / module
    file.write_text(f"{file.read_text()}\n\n{line}\n")
    done = _linted(copy)
    assert done.returncode == 1, done.stdout
    assert named in done.stdout


def test_a_folder_without_a_place_in_the_order_is_named(copy: Path) -> None:
    (copy / "activity").mkdir()
    (copy / "activity" / "__init__.py").touch()
    done = _linted(copy)
    assert done.returncode == 1, done.stdout
    assert "activity" in done.stdout


def test_everything_built_on_the_package_is_among_what_it_may_not_import() -> None:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = [contract["forbidden_modules"] for contract in contracts if contract["type"] == "forbidden"]
    modules = [path.stem for folder in ("plugins", "dags") for path in (PROJECT / folder).glob("*.py")]
    assert forbidden and set(forbidden[0]) == {*modules, *BUILT_ON_IT}
