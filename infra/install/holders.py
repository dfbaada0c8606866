"""Processes of this machine that hold a port or memory, and which of them are of this home folder. Standard library only."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lakehouse.settings import Settings


def of_port(port: int) -> list[int]:
    """Processes that listen on that port and are visible to this account."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/net/{table}")
        for fields in (line.split() for line in path.read_text().splitlines()[1:]) if path.exists() else ():
            # Column 1 is the local address, 3 the state (0A is listening), 9 the socket's number.
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    return sorted(pid for pid in _all() if _has_open(pid, sockets))


def are_ours(settings: Settings, pids: list[int]) -> bool:
    """Whether one of them belongs to a service of this home folder."""
    ours = _groups(settings)
    return any(pid in ours or _group(pid) in ours for pid in pids)


def held_mb(settings: Settings) -> int:
    """Memory that the running services of this home folder hold, in MiB."""
    ours = _groups(settings)
    return sum(_pss_kb(pid) for pid in _all() if _group(pid) in ours) // 1024 if ours else 0


def name(pid: int) -> str:
    """The beginning of its command line."""
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(argv[:3]).decode(errors="replace").strip()[:60] or Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"


def _all() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def _has_open(pid: int, sockets: set[str]) -> bool:
    try:
        return any(str(entry.readlink()) in sockets for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _groups(settings: Settings) -> set[int]:
    """The process of each service of this home folder, which leads a group of its own."""
    pids = (json.loads(path.read_text()).get("pid") for path in (settings.home_dir / "run").glob("*.json"))
    return {pid for pid in pids if pid}


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _pss_kb(pid: int) -> int:
    """A shared page counts once over all processes; 0 for one that has ended or belongs to another account."""
    try:
        return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1].split()[0])
    except (OSError, IndexError):
        return 0
