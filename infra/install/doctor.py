"""Checks of this machine before a start; each finding is one line with its cure. Standard library only."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from infra.install import java
from lakehouse.delta import objects
from lakehouse.errors import EbapError
from lakehouse.settings import Settings

# Measured over a demo with thirty days of backfill.
MEMORY_MB = 8 * 1024
DISK_MB = 7 * 1024
# The Connect worker opens a few hundred jars and sockets; the usual soft limit is 1024.
OPEN_FILES = 4096
PYTHONS = ((3, 11), (3, 13))


@dataclass(frozen=True)
class Finding:
    """Result of one check; an error prevents the start, a warning does not."""

    level: str
    text: str

    @property
    def is_error(self) -> bool:
        """Whether it prevents the start."""
        return self.level == "error"


def check(settings: Settings) -> list[Finding]:
    """All findings, good ones included."""
    return [
        _python(sys.version_info[:2]),
        _java(settings),
        *_ports(settings),
        _memory(_available_mb()),
        _disk(settings),
        _open_files(),
        *_bucket(settings),
        *_accounts(settings),
        _cores(os.cpu_count() or 1),
    ]


def _python(version: tuple[int, ...]) -> Finding:
    text = ".".join(map(str, version))
    if PYTHONS[0] <= version <= PYTHONS[1]:
        return Finding("ok", f"Python {text}")
    return Finding(
        "error", f"this is Python {text}: put python3.11, python3.12 or python3.13 on PATH, or name one: make PYTHON=/path/to/python3.11"
    )


def _java(settings: Settings) -> Finding:
    found, misfits = java.find(settings)
    if found:
        return Finding("ok", f"Java {found.major} in {found.home}")
    seen = f" (found {', '.join(f'Java {misfit.major} in {misfit.home}' for misfit in misfits)})" if misfits else ""
    cure = "set JAVA_HOME to a Java 17 or 21, or run `make install`, which fetches one (104 MB, no root needed)"
    return Finding("error", f"there is no Java 17 or 21{seen}: {cure}")


def _ports(settings: Settings) -> list[Finding]:
    """A port must be free or used by a service of this home folder."""
    ports = settings.ports()
    twice = {port for port, count in Counter(ports.values()).items() if count > 1}
    findings = []
    for variable, port in ports.items():
        if port in twice:
            findings.append(Finding("error", f"port {port} is given to two services, one by {variable}: give each its own"))
        elif not _is_free(settings.bind, port):
            holders = _holders(port)
            if not _are_ours(settings, holders):
                holder = f"process {holders[0]} ({_name(holders[0])})" if holders else "a process of another account"
                findings.append(Finding("error", f"port {port} is taken by {holder}: end it, or set {variable} to a free port"))
    return findings or [Finding("ok", f"ports {', '.join(map(str, ports.values()))} are free or ours")]


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _holders(port: int) -> list[int]:
    """Processes that listen on that port and are visible to this account."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/net/{table}")
        for fields in (line.split() for line in path.read_text().splitlines()[1:]) if path.exists() else ():
            # Column 1 is the local address, 3 the state (0A is listening), 9 the socket's number.
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    return sorted(int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit() and _has_open(folder, sockets))


def _has_open(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(entry.readlink()) in sockets for entry in (process / "fd").iterdir())
    except OSError:
        return False


def _are_ours(settings: Settings, holders: list[int]) -> bool:
    groups = {json.loads(path.read_text()).get("pid") for path in (settings.home_dir / "run").glob("*.json")}
    return any(pid in groups or _group(pid) in groups for pid in holders)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _name(pid: int) -> str:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(argv[:3]).decode(errors="replace").strip()[:60] or Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"


def _available_mb() -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) // 1024


def _memory(available_mb: int) -> Finding:
    if available_mb >= MEMORY_MB:
        return Finding("ok", f"{available_mb:,} MB of memory available, about {MEMORY_MB:,} MB wanted")
    cure = "close other programs, or lower EBAP_SPARK_MEMORY_MB and EBAP_LAND_MEMORY_MB"
    level = "error" if available_mb < MEMORY_MB // 2 else "warning"
    return Finding(level, f"only {available_mb:,} MB of memory available, about {MEMORY_MB:,} MB wanted: {cure}")


def _disk(settings: Settings) -> Finding:
    folder = next(path for path in (settings.home_dir, *settings.home_dir.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        return Finding("error", f"{folder} cannot be written: set EBAP_HOME to a folder of yours")
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb >= DISK_MB:
        return Finding("ok", f"{free_mb:,} MB of disk free in {folder}, about {DISK_MB:,} MB wanted")
    level = "error" if free_mb < DISK_MB // 3 else "warning"
    return Finding(
        level, f"only {free_mb:,} MB of disk free in {folder}, about {DISK_MB:,} MB wanted: free some, or set EBAP_HOME to another disk"
    )


def _open_files() -> Finding:
    """The supervisor raises the soft limit of its services; only root can raise the hard limit."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (limit if limit == resource.RLIM_INFINITY else max(limit, OPEN_FILES) for limit in limits)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (ValueError, OSError):
        cure = "set `ulimit -Hn`, or `nofile` in /etc/security/limits.conf, or LimitNOFILE of its systemd unit, to that"
        return Finding("error", f"a process of this account may have {limits[1]:,} files open, and {OPEN_FILES:,} are needed: {cure}")
    return Finding("ok", f"{OPEN_FILES:,} open files a process")


def _bucket(settings: Settings) -> list[Finding]:
    if not settings.is_on_gcs:
        return []
    try:
        is_there = objects.has_bucket(settings)
    except ImportError:  # `make doctor` runs before anything is installed
        return [Finding("ok", f"the bucket of {settings.lake_root} is checked once Google's client is installed")]
    except EbapError as error:
        return [Finding("error", str(error))]
    return [Finding("ok", f"the bucket of {settings.lake_root} {'exists' if is_there else 'is created at the first start'}")]


def _accounts(settings: Settings) -> list[Finding]:
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv"):
        return [Finding("ok", "running as root: Postgres runs as another account")]
    return [
        Finding(
            "error", "running as root without setpriv, which runs Postgres as another account: install util-linux, or run as another user"
        )
    ]


def _cores(count: int) -> Finding:
    if count >= 2:
        return Finding("ok", f"{count} cores")
    return Finding("warning", "one core: everything works, but starts take twice as long and may run into their limits")
