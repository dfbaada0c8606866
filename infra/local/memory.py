"""Memory of the platform as proportional set size (PSS), which counts a shared page once over all processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil

from infra.install.halves import CHANGE_DATA, LIVE, Half
from infra.services import runs
from infra.services.step import Service
from lakehouse.settings import Settings


def measure(settings: Settings, services: list[Service]) -> dict[str, float]:
    """MiB of PSS by service, each with all its descendants; a stopped service is left out."""
    measured = {}
    for service in services:
        processes = _family(runs.read(settings, service.name).pid)
        if processes:
            measured[service.name] = round(sum(_pss_mb(process.pid) for process in processes), 1)
    return measured


def by_half(settings: Settings, services: list[Service], measured: dict[str, float]) -> dict[str, Any]:
    """What was measured of the change-data half, and its budget; where the live half runs, the same of it under `live`."""

    def of(half: Half, *, is_live: bool) -> dict[str, float]:
        held = sum(measured.get(service.name, 0) for service in services if service.is_live is is_live)
        return {"pss_mb": round(held, 1), "budget_mb": half.budget_mb}

    return of(CHANGE_DATA, is_live=False) | ({"live": of(LIVE, is_live=True)} if settings.is_live else {})


def _family(pid: int | None) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid) if pid else None
        return [top, *top.children(recursive=True)] if top else []
    except psutil.Error:
        return []


def _pss_mb(pid: int) -> float:
    """0 for a process that has ended; resident size if PSS is not permitted."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(text.split("\nPss:")[1].split()[0]) / 1024
    except PermissionError:
        return _resident_mb(pid)
    except (OSError, IndexError):
        return 0.0


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGESIZE") / 2**20
