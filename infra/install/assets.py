"""Scripts of the boards' page, by npm's lock, so that no browser needs a CDN. Standard library only."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from infra.install import environments
from infra.install.running import run
from lakehouse.settings import PROJECT, Settings

_BOARDS = PROJECT / "dashboards" / "boards"
# npm is installed temporarily, from a wheel; most of its size is Node.
DOWNLOAD_MB, DISK_MB = 75, 2
_SERVED = ("dist/echarts.min.js", "LICENSE", "NOTICE")


def is_current(settings: Settings) -> bool:
    """Whether the page's scripts are those of the lock; an earlier release kept them elsewhere in the folder."""
    folder = settings.home_dir / "assets"
    return _is_stamped(folder) and all((folder / Path(served).name).is_file() for served in _SERVED)


def has_checks(settings: Settings) -> bool:
    """Whether the packages for tests of the boards are those of the lock."""
    return _is_stamped(_checks(settings))


def install(settings: Settings) -> None:
    """Install the served files in `<home>/assets`; npm and Node are removed afterwards."""
    target = settings.home_dir / "assets"
    with tempfile.TemporaryDirectory(prefix="assets-", dir=settings.home_dir) as name:
        folder = Path(name)
        environments.make(settings, folder / "node", environments.LOCKS / "node.txt")
        _npm_install(settings, folder / "node" / "bin" / "npm", folder, "--omit=dev")
        fresh = folder / "assets"
        fresh.mkdir()
        for served in _SERVED:
            shutil.copy(folder / "node_modules" / "echarts" / served, fresh)
        (fresh / ".lock").write_text(_hash())
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)


def install_checks(settings: Settings) -> None:
    """Install the packages for tests of the boards in the tests' environment."""
    folder = environments.DEVELOPMENT[0].folder(settings)
    _npm_install(settings, folder / "bin" / "npm", folder, "--include=dev")
    (_checks(settings) / ".lock").write_text(_hash())


def _checks(settings: Settings) -> Path:
    return environments.DEVELOPMENT[0].folder(settings) / "node_modules"


def _is_stamped(folder: Path) -> bool:
    stamp = folder / ".lock"
    return stamp.is_file() and stamp.read_text() == _hash()


def _npm_install(settings: Settings, npm: Path, folder: Path, *options: str) -> None:
    """Install the packages of the boards' lock in that folder's `node_modules`."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(_BOARDS / name, folder / name)
    run(settings, "assets", [str(npm), "ci", *options, "--prefix", str(folder), "--cache", str(settings.cache_dir / "npm")])


def _hash() -> str:
    return hashlib.sha256((_BOARDS / "package-lock.json").read_bytes()).hexdigest()
