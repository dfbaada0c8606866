"""Memory and disk of this machine. Standard library only."""

from __future__ import annotations

import shutil
from pathlib import Path

from lakehouse.settings import Settings


def memory_mb() -> int:
    """Its memory, in MiB."""
    return _meminfo_mb("MemTotal")


def available_mb() -> int:
    """Memory that a new process can have without swapping, in MiB."""
    return _meminfo_mb("MemAvailable")


def disk_folder(settings: Settings) -> Path:
    """The home folder, or the nearest folder above it that exists."""
    return next(path for path in (settings.home_dir, *settings.home_dir.parents) if path.exists())


def free_disk_mb(settings: Settings) -> int:
    """Free space on the disk of the home folder, in MiB."""
    return shutil.disk_usage(disk_folder(settings)).free // 2**20


def _meminfo_mb(field: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines[field].split()[0]) // 1024
