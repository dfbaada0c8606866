"""Install what is missing, by lock: environments, a Java, the page's scripts, Java artifacts. Standard library only.

Without an argument what the platform needs; with `start` or `live` too, after deciding whether the live half runs, or switching it on;
with `dev` also what its tests need, with `notebook` what `make notebook` needs, with `metabase` Metabase. `doctor` checks this machine
instead, and `home` prints EBAP_HOME as a full path.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from infra.install import assets, doctor, environments, halves, java, metabase_jar
from infra.install.environments import LOCKS, Environment
from infra.install.running import boot_bin, run, timed
from lakehouse.errors import exit_code_of
from lakehouse.settings import Settings

_ADDED: dict[str, tuple[Environment, ...]] = {"dev": environments.DEVELOPMENT, "notebook": (environments.NOTEBOOK,)}
_ARGUMENTS = (*_ADDED, "start", "live", "metabase", "doctor", "home")


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part that is not a Python environment; sizes are measured on an empty cache."""

    name: str
    is_missing: Callable[[Settings], bool]
    install: Callable[[Settings], None]
    download_mb: int
    disk_mb: int


def _jdk(settings: Settings, name: str = "jdk") -> None:
    target = str(settings.home_dir / "venv" / name)
    command = [str(boot_bin(settings) / "uv"), "pip", "install", "-q", "--python", sys.executable, "--target", target]
    run(settings, name, [*command, "--require-hashes", "-r", str(LOCKS / f"{name}.txt")])


_JDK = _Part(name="java", is_missing=lambda settings: java.find(settings)[0] is None, install=_jdk, download_mb=35, disk_mb=104)
_JDK_OF_TRINO = _Part(
    name="java for Trino",
    is_missing=lambda settings: settings.is_live and java.find_since(settings, java.OF_TRINO) is None,
    install=partial(_jdk, name="jdk25"),
    download_mb=35,
    disk_mb=104,
)
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
_LIVE_JARS = _Part(
    name="jars of the live half",
    is_missing=lambda settings: settings.is_live and not all((settings.home_dir / "jars" / name).exists() for name in ("iceberg", "trino")),
    install=_JARS.install,
    download_mb=938,
    disk_mb=576,
)
_CHECKS = _Part(
    name="checks of the boards",
    is_missing=lambda settings: not assets.has_checks(settings),
    install=assets.install_checks,
    download_mb=31,
    disk_mb=89,
)


def install(settings: Settings, argument: str | None = None) -> None:
    """Sync every part with its lock; prints the size of the download first."""
    wanted = environments.PLATFORM + ((environments.LIVE,) if settings.is_live else ()) + _ADDED.get(argument or "", ())
    parts = [_JDK, _JDK_OF_TRINO, _ASSETS, *([_CHECKS] if argument == "dev" else [])]
    missing = [part for part in parts if part.is_missing(settings)]
    jars = [part for part in (_JARS, _LIVE_JARS) if part.is_missing(settings)]
    _announce(settings, [*environments.missing(settings, wanted), *missing, *jars])
    environments.install(settings, wanted)
    for part in missing:
        timed(part.name, partial(part.install, settings))
    # Checks each set itself.
    _JARS.install(settings)
    if argument == "metabase":
        _fetch_metabase(settings)


def _announce(settings: Settings, parts: list[Environment | _Part]) -> None:
    if parts:
        download, disk = sum(part.download_mb for part in parts), sum(part.disk_mb for part in parts)
        names = ", ".join(part.name for part in parts)
        print(f"installing {names}: up to {download:,} MB to download, {disk:,} MB of disk in {settings.home_dir}", flush=True)


def _fetch_metabase(settings: Settings) -> None:
    """Fetch Metabase's jar and, if this machine lacks it, its Java; does nothing if the settings name another Metabase."""
    if settings.metabase_url:
        return
    if java.find_since(settings, metabase_jar.JAVA) is None:
        timed("java for Metabase", partial(_jdk, settings))
    metabase_jar.fetch(settings)


def main(argv: list[str]) -> int:
    """Run the command; 0, or 1 with the reason on standard error."""
    argument = argv[0] if argv else None
    if len(argv) > 1 or argument not in (None, *_ARGUMENTS):
        print(f"usage: python infra/install [{' | '.join(_ARGUMENTS)}]", file=sys.stderr)
        return 2
    # Environments contain no secrets, and Postgres may run from one as another account.
    os.umask(0o022)
    return exit_code_of("error  ", lambda: _run(argument), failed=1)


def _run(argument: str | None) -> int:
    settings = Settings.from_environment()
    if argument == "home":
        print(settings.home_dir)
        return 0
    if argument == "doctor":
        return _show(doctor.check(settings))
    if argument == "start":
        halves.decide(settings)
    if argument == "live":
        halves.switch_on(settings)
    # The tests start the live half, whatever the platform of this home folder does.
    install(dataclasses.replace(settings, live="yes") if argument == "dev" else settings, argument)
    return 0


def _show(findings: list[doctor.Finding]) -> int:
    print("\n".join(f"{finding.level:<8}{finding.text}" for finding in findings))
    return int(any(finding.is_error for finding in findings))
