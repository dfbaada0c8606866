"""Install what is missing: Python environments and Java artifacts, by lock, from one cache. Standard library only.

Run by the machine's own Python (3.11 to 3.13). Each part has a stamp with the hash of its lock: an installed part costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from infra.local import doctor, java, metabase_jar
from lakehouse.errors import EbapError, exit_code_of
from lakehouse.settings import PROJECT, Settings

_LOCKS = PROJECT / "infra" / "locks"
# Measured on an empty cache.
_SIZES_MB = {"boot": (85, 290), "main": (590, 1150), "airflow": (170, 680), "jdk": (45, 104), "assets": (15, 89), "jars": (86, 90)}
_BOARDS = PROJECT / "dashboards" / "boards"


def install(settings: Settings) -> None:
    """Bring every part in line with its lock."""
    missing = [name for name in ("boot", "main", "airflow") if not _is_current(settings, name)]
    needs_java = java.find(settings)[0] is None
    needs_assets = not _has_assets(settings)
    others = {"jdk": needs_java, "assets": needs_assets, "jars": not (settings.home_dir / "jars").exists()}
    parts = [*missing, *(name for name, is_needed in others.items() if is_needed)]
    if parts:
        download, disk = (sum(_SIZES_MB[part][i] for part in parts) for i in (0, 1))
        _say(f"installing {', '.join(parts)}: up to {download:,} MB to download, {disk:,} MB of disk in {settings.home_dir}")
    for name in missing:
        _timed(name, lambda name=name: _boot(settings) if name == "boot" else _environment(settings, name))
    if needs_java:
        _timed("java", lambda: _jdk(settings))
    if needs_assets:
        _timed("assets", lambda: _assets(settings))
    _run(settings, "jars", [str(_boot_bin(settings) / "python"), "-m", "infra.local.jars", "fetch"], is_shown=True)


def _boot(settings: Settings) -> None:
    """The small environment that has uv and jgo; made by venv, or by a uv that is already there."""
    folder = settings.home_dir / "venv" / "boot"
    shutil.rmtree(folder, ignore_errors=True)
    lock = str(_LOCKS / "boot.txt")
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True)
    if made.returncode == 0:
        command = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
            lock,
        ]
        _run(settings, "boot", command)
    elif shutil.which("uv"):
        _run(settings, "boot", ["uv", "venv", "-q", "--clear", "--python", sys.executable, str(folder)])
        _run(settings, "boot", ["uv", "pip", "install", "-q", "--python", str(folder), "--require-hashes", "-r", lock])
    else:
        raise EbapError(f"{sys.executable} has no venv and there is no uv", "install python3-venv, or uv")
    _stamp(settings, "boot").write_text(_hash("boot"))


def _environment(settings: Settings, name: str) -> None:
    folder = settings.home_dir / "venv" / name
    uv = str(_boot_bin(settings) / "uv")
    if not (folder / "bin" / "python").exists():
        _run(settings, name, [uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)])
    # Progress is for people: a log would get a line a package.
    quiet = [] if sys.stderr.isatty() else ["-q"]
    _run(
        settings, name, [uv, "pip", "sync", *quiet, "--python", str(folder), "--require-hashes", str(_LOCKS / f"{name}.txt")], is_shown=True
    )
    # `python -m lakehouse` works in that environment without a PYTHONPATH.
    for packages in folder.glob("lib/python3.*/site-packages"):
        (packages / "ebap.pth").write_text(f"{PROJECT / 'spark_apps'}\n{PROJECT}\n")
    _stamp(settings, name).write_text(_hash(name))


def _jdk(settings: Settings) -> None:
    target = str(settings.home_dir / "venv" / "jdk")
    uv = str(_boot_bin(settings) / "uv")
    command = [
        uv,
        "pip",
        "install",
        "-q",
        "--python",
        sys.executable,
        "--target",
        target,
        "--require-hashes",
        "-r",
        str(_LOCKS / "jdk.txt"),
    ]
    _run(settings, "jdk", command)


def _assets(settings: Settings) -> None:
    """What the boards' page loads, by npm's own lock: no browser asks a CDN."""
    folder = settings.home_dir / "assets"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(_BOARDS / name, folder / name)
    _run(settings, "assets", [str(_boot_bin(settings) / "npm"), "ci", "--prefix", str(folder), "--cache", str(settings.cache_dir / "npm")])
    (folder / ".lock").write_text(_assets_hash())


def _has_assets(settings: Settings) -> bool:
    stamp = settings.home_dir / "assets" / ".lock"
    return stamp.is_file() and stamp.read_text() == _assets_hash()


def _assets_hash() -> str:
    return hashlib.sha256((_BOARDS / "package-lock.json").read_bytes()).hexdigest()


def _run(settings: Settings, part: str, command: list[str], *, is_shown: bool = False) -> None:
    environ = {
        **os.environ,
        "UV_CACHE_DIR": str(settings.cache_dir / "uv"),
        "PIP_CACHE_DIR": str(settings.cache_dir / "pip"),
        # The certificates this machine trusts, as pip does: an office's own proxy is no error.
        "UV_SYSTEM_CERTS": os.environ.get("UV_SYSTEM_CERTS", "true"),
        "NODE_USE_SYSTEM_CA": os.environ.get("NODE_USE_SYSTEM_CA", "1"),
        "PYTHONPATH": f"{PROJECT / 'spark_apps'}{os.pathsep}{PROJECT}",
    }
    # What the outside set up for its own environment must not decide where ours are.
    environ.pop("VIRTUAL_ENV", None)
    environ["PATH"] = f"{_boot_bin(settings)}{os.pathsep}{environ.get('PATH', os.defpath)}"
    output = None if is_shown else subprocess.PIPE
    done = subprocess.run(command, cwd=PROJECT, env=environ, stdout=output, stderr=output, text=True)
    if done.returncode:
        seen = f":\n{((done.stdout or '') + (done.stderr or ''))[-2000:]}" if output else ""
        raise EbapError(
            f"{part} could not be installed{seen}", "check the network and run `make install` again, which goes on where it stopped"
        )


def _timed(name: str, do: object) -> None:
    began = time.monotonic()
    assert callable(do)
    do()
    _say(f"✓ {name:<24}{time.monotonic() - began:6.1f} s")


def notebook(settings: Settings) -> None:
    """The environment of `make notebook`, by lock: only when it is asked for."""
    if not _is_current(settings, "notebook"):
        _timed("notebook", lambda: _environment(settings, "notebook"))


def fetch_metabase(settings: Settings) -> None:
    """Metabase's jar and, where this machine has none of that age, its Java; nothing to do where the settings name another Metabase."""
    if settings.metabase_url:
        return
    if java.find_since(settings, metabase_jar.JAVA) is None:
        _timed("java for Metabase", lambda: _jdk(settings))
    metabase_jar.fetch(settings)


def _boot_bin(settings: Settings) -> Path:
    return settings.home_dir / "venv" / "boot" / "bin"


def _stamp(settings: Settings, name: str) -> Path:
    return settings.home_dir / "venv" / name / ".lock"


def _hash(name: str) -> str:
    return hashlib.sha256((_LOCKS / f"{name}.txt").read_bytes()).hexdigest()


def _is_current(settings: Settings, name: str) -> bool:
    """A moved or replaced Python leaves links that lead nowhere, so the interpreter is looked at too."""
    stamp = _stamp(settings, name)
    return (stamp.parent / "bin" / "python").exists() and stamp.is_file() and stamp.read_text() == _hash(name)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Install, with the word `notebook` or `metabase` that too; `doctor` checks the machine instead, without anything installed."""
    return exit_code_of("error  ", _do, failed=1)


def _do() -> int:
    settings = Settings.from_environment()
    if sys.argv[1:] == ["doctor"]:
        findings = doctor.check(settings)
        print("\n".join(f"{finding.level:<8}{finding.text}" for finding in findings))
        return int(any(finding.is_error for finding in findings))
    install(settings)
    if sys.argv[1:] == ["notebook"]:
        notebook(settings)
    if sys.argv[1:] == ["metabase"]:
        fetch_metabase(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
