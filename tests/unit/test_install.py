"""The installer: where packages go to is not the shell's to say, an EBAP_HOME belongs to one checkout, and a path may hold a space."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.install import environments, parts, running
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT, Settings

MAIN = environments.PLATFORM[1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"))


@pytest.mark.parametrize(
    "name", ["PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV"]
)
def test_what_leads_packages_elsewhere_is_not_taken_over(name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/elsewhere")
    assert running.variables(settings).get(name) in (None, "0")


@pytest.mark.parametrize(
    "name", ["PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "UV_DEFAULT_INDEX", "UV_HTTP_TIMEOUT", "https_proxy", "ALL_PROXY"]
)
def test_where_packages_come_from_is_the_machine_s_to_say(name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "of this machine")
    assert running.variables(settings)[name] == "of this machine"


def test_environments_can_be_read_by_the_account_that_postgres_runs_as(capsys: pytest.CaptureFixture[str]) -> None:
    before = os.umask(0o077)
    try:
        assert parts.main(["home"]) == 0
    finally:
        assert os.umask(before) == 0o022


def _installed(settings: Settings, project: Path) -> Path:
    """As an install of that checkout leaves it."""
    folder = MAIN.folder(settings)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (folder / ".lock").write_text(environments._hash(MAIN))
    (folder / ".checkout").write_text(json.dumps({"project": str(project)}))
    return folder


def test_an_environment_of_another_checkout_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    _installed(settings, tmp_path / "another")
    with pytest.raises(EbapError, match=rf"^{settings.home} runs the code of {tmp_path}/another, not of {PROJECT}: give each "):
        environments.missing(settings, (MAIN,))


def test_an_environment_is_made_anew_where_its_checkout_was_moved_or_its_lock_changed(settings: Settings, tmp_path: Path) -> None:
    folder = _installed(settings, PROJECT)
    assert environments.missing(settings, (MAIN,)) == []
    (folder / ".checkout").write_text(json.dumps({"project": str(tmp_path / "gone")}))
    assert environments.missing(settings, (MAIN,)) == [MAIN]
    (folder / ".checkout").write_text(json.dumps({"project": str(PROJECT)}))
    (folder / ".lock").write_text("of yesterday")
    assert environments.missing(settings, (MAIN,)) == [MAIN]


@pytest.mark.parametrize("name", ["main", "airflow"])
def test_what_a_user_installs_has_this_checkout_and_none_of_the_tests_tools(name: str) -> None:
    code = (
        "import importlib.util as u, lakehouse.transforms.heavy.workers as w, infra.nodes, generator\n"
        "print(w.__file__); print([n for n in ('pytest', 'ruff', 'mypy', 'hypothesis', 'playwright') if u.find_spec(n)])"
    )
    python = Settings.from_environment().home_dir / "venv" / name / "bin" / "python"
    # As a Spark worker is started: neither in this folder nor with its paths.
    done = subprocess.run([python, "-c", code], cwd="/", env={"HOME": "/nowhere"}, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [str(PROJECT / "spark_apps/lakehouse/transforms/heavy/workers.py"), "[]"], done.stderr


def test_packages_of_the_tests_have_the_versions_of_the_platform_s() -> None:
    for seen, own in (("main", "dev"), ("airflow", "dev-airflow")):
        platforms, tests = (_versions(environments.LOCKS / f"{name}.txt") for name in (seen, own))
        assert {name: version for name, version in tests.items() if name in platforms} == {
            name: version for name, version in platforms.items() if name in tests
        }


def _versions(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in lock.read_text().splitlines():
        if "==" in line:
            name, _, version = line.partition(" ")[0].partition("==")
            found.setdefault(name, set()).add(version)
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Makefile and the installer need of a checkout, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("a b")
    shutil.copy(PROJECT / "Makefile", folder)
    for part in ("infra", "spark_apps"):
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    ("line", "home"),
    [
        ("", ".ebap"),
        ("EBAP_RATE=7\r\n", ".ebap"),
        ("EBAP_HOME='{0}/c d'\n", "c d"),
        ('export EBAP_HOME="~/platform"  # mine\r\n', "~/platform"),
    ],
)
def test_make_finds_the_home_folder_where_the_settings_have_it(checkout: Path, line: str, home: str) -> None:
    (checkout / ".env").write_text(line.format(checkout))
    environ = {"PATH": os.environ["PATH"], "HOME": str(checkout)}
    shown = 'shown:;@printf "%s\\n" $(MAIN) "$$EBAP_HOME"'
    command = ["make", "-s", f"PYTHON={sys.executable}", "--eval", shown, "shown"]
    done = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=True)
    expected = checkout / home.removeprefix("~/")
    assert done.stdout.splitlines() == [f"{expected}/venv/main/bin/python", str(expected)]


def test_a_wrong_line_of_settings_is_refused_before_anything_is_installed(checkout: Path) -> None:
    (checkout / ".env").write_text("EBAP_RATE='5\n")
    command = ["make", "-s", f"PYTHON={sys.executable}", "up"]
    done = subprocess.run(command, cwd=checkout, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith(f"error   line 1 of {checkout}/.env is")
    assert not (checkout / ".ebap").exists()


def test_what_a_shell_prepends_is_not_imported_by_make(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".env").unlink(missing_ok=True)
    (tmp_path / "json.py").write_text("raise SystemExit('another json')")
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "EBAP_HOME": "relative"}
    command = ["make", "-s", f"PYTHON={sys.executable}", "--eval", "shown:;@echo $$EBAP_HOME", "shown"]
    done = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"{checkout}/relative\n"
