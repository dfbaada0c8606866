"""Install what is missing, by lock: environments, a Java, the page's scripts, Java artifacts. Standard library only.

Without a word what the platform needs; with `dev` also what its tests need, with `notebook` what `make notebook` needs, with `metabase`
Metabase. `doctor` checks this machine instead, and `home` prints EBAP_HOME as a full path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from infra.install import assets, doctor, environments, java, metabase_jar
from infra.install.environments import LOCKS, Environment
from infra.install.running import boot_bin, run, timed
from lakehouse.errors import exit_code_of
from lakehouse.settings import Settings

_ADDED: dict[str, tuple[Environment, ...]] = {"dev": environments.DEVELOPMENT, "notebook": (environments.NOTEBOOK,)}
_WORDS = (*_ADDED, "metabase", "doctor", "home")


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part that is no Python environment; sizes are measured on an empty cache."""

    name: str
    is_missing: Callable[[Settings], bool]
    install: Callable[[Settings], None]
    download_mb: int
    disk_mb: int


def _jdk(settings: Settings) -> None:
    target = str(settings.home_dir / "venv" / "jdk")
    command = [str(boot_bin(settings) / "uv"), "pip", "install", "-q", "--python", sys.executable, "--target", target]
    run(settings, "jdk", [*command, "--require-hashes", "-r", str(LOCKS / "jdk.txt")])


_JDK = _Part(name="java", is_missing=lambda settings: java.find(settings)[0] is None, install=_jdk, download_mb=35, disk_mb=104)
_ASSETS = _Part(
    name="assets",
    is_missing=lambda settings: not assets.is_current(settings),
    install=assets.install,
    download_mb=assets.DOWNLOAD_MB,
    disk_mb=assets.DISK_MB,
)
_JARS = _Part(
    name="jars",
    is_missing=lambda settings: not (settings.home_dir / "jars").exists(),
    install=lambda settings: run(
        settings, "jars", [str(boot_bin(settings) / "python"), "-m", "infra.install.jars", "fetch"], is_shown=True
    ),
    download_mb=87,
    disk_mb=84,
)
_CHECKS = _Part(
    name="checks of the boards",
    is_missing=lambda settings: not assets.has_checks(settings),
    install=assets.install_checks,
    download_mb=31,
    disk_mb=89,
)


def install(settings: Settings, word: str | None = None) -> None:
    """Bring every part in line with its lock; how much will be downloaded is printed before."""
    wanted = environments.PLATFORM + _ADDED.get(word or "", ())
    parts = [_JDK, _ASSETS, *([_CHECKS] if word == "dev" else [])]
    missing = [part for part in parts if part.is_missing(settings)]
    _announce(settings, [*environments.missing(settings, wanted), *missing, *([_JARS] if _JARS.is_missing(settings) else [])])
    environments.install(settings, wanted)
    for part in missing:
        timed(part.name, partial(part.install, settings))
    # It looks at each set itself.
    _JARS.install(settings)
    if word == "metabase":
        _fetch_metabase(settings)


def _announce(settings: Settings, parts: list[Environment | _Part]) -> None:
    if parts:
        download, disk = sum(part.download_mb for part in parts), sum(part.disk_mb for part in parts)
        names = ", ".join(part.name for part in parts)
        print(f"installing {names}: up to {download:,} MB to download, {disk:,} MB of disk in {settings.home_dir}", flush=True)


def _fetch_metabase(settings: Settings) -> None:
    """Metabase's jar and, where this machine has none of that age, its Java; nothing to do where the settings name another Metabase."""
    if settings.metabase_url:
        return
    if java.find_since(settings, metabase_jar.JAVA) is None:
        timed("java for Metabase", partial(_jdk, settings))
    metabase_jar.fetch(settings)


def main(words: list[str]) -> int:
    """Do what the word says; 1 with one line on standard error where that is not possible."""
    word = words[0] if words else None
    if len(words) > 1 or word not in (None, *_WORDS):
        print(f"usage: python infra/install [{' | '.join(_WORDS)}]", file=sys.stderr)
        return 2
    # Environments hold no secrets, and Postgres may have to run from one as another account.
    os.umask(0o022)
    return exit_code_of("error  ", lambda: _do(word), failed=1)


def _do(word: str | None) -> int:
    settings = Settings.from_environment()
    if word == "home":
        print(settings.home_dir)
        return 0
    if word == "doctor":
        return _show(doctor.check(settings))
    install(settings, word)
    return 0


def _show(findings: list[doctor.Finding]) -> int:
    print("\n".join(f"{finding.level:<8}{finding.text}" for finding in findings))
    return int(any(finding.is_error for finding in findings))
