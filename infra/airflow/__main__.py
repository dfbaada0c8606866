"""Run an Airflow command in EBAP's environment; `init` prepares database, login and pools and can be repeated."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from infra import airflow
from infra.airflow import pools
from lakehouse import process
from lakehouse.errors import EbapError, SettingsError, exit_code_of
from lakehouse.settings import PROJECT, Settings

_USAGE = "usage: python -m infra.airflow init | AIRFLOW COMMAND …   (such as scheduler, api-server, backfill create --help)"

# Airflow's own commands, with modules loaded before they fork.
_PRELOADED = {"scheduler": "infra.airflow.scheduler", "dag-processor": "infra.airflow.dag_processor"}


def main(arguments: list[str]) -> None:
    """Replace this process with Airflow's; exits with 2 and one line if a setting or a password is missing."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(_USAGE)
    settings = process.begin()
    environment = {**process.inherited(settings), **airflow.environment(settings)}
    python = settings.home_dir / "venv" / "airflow" / "bin" / "python"
    if not python.exists():
        raise SettingsError(f"there is no Airflow at {python}", "run `make up`, which installs it")
    if arguments[0] == "init":
        init(settings, environment)
        return
    module = _PRELOADED.get(arguments[0], "airflow")
    os.execve(python, [str(python), "-m", module, *arguments], environment)


def init(settings: Settings, environment: dict[str, str]) -> None:
    """Migrate the metadata database, write the password file, and create or update every pool."""
    airflow.home(settings).mkdir(parents=True, exist_ok=True)
    _write_login(settings)
    declared = json.dumps({name: _pool(size, purpose) for name, (size, purpose) in pools.slots(settings).items()})
    # The two Airflow commands take 20 s on two cores, so they run only if Airflow's lock file or the pools changed.
    digest = hashlib.sha256((PROJECT / "infra" / "locks" / "airflow.txt").read_bytes() + declared.encode()).hexdigest()
    stamp = airflow.home(settings) / "prepared"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    _airflow(settings, environment, "db", "migrate")
    with tempfile.TemporaryDirectory(dir=airflow.home(settings)) as folder:
        file = Path(folder) / "pools.json"
        file.write_text(declared)
        _airflow(settings, environment, "pools", "import", str(file))
    stamp.write_text(digest)


def _pool(size: int, purpose: str) -> dict[str, object]:
    return {"slots": size, "description": purpose, "include_deferred": False}


def _write_login(settings: Settings) -> None:
    file = airflow.passwords_file(settings)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump({airflow.ADMIN: settings.secret("airflow_admin")}, stream)


def _airflow(settings: Settings, environment: dict[str, str], *arguments: str) -> None:
    binary = settings.home_dir / "venv" / "airflow" / "bin" / "airflow"
    code = subprocess.run([binary, *arguments], env=environment).returncode
    if code:
        raise EbapError(f"`airflow {' '.join(arguments)}` exited with {code}", "see its output above")


if __name__ == "__main__":
    sys.exit(exit_code_of("infra.airflow:", lambda: main(sys.argv[1:])))
