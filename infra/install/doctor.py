"""Checks of this machine before a start; each finding is one line with its cure. Standard library only."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sys
from collections import Counter
from dataclasses import dataclass

from infra.install import halves, holders, java, machine
from lakehouse.delta import objects
from lakehouse.errors import EbapError, NotReadyError
from lakehouse.settings import Settings

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
        *_java_of_trino(settings),
        *_ports(settings),
        _memory(machine.available_mb() + holders.held_mb(settings), halves.memory_mb(settings)),
        _disk(settings),
        _open_files(),
        *_bucket(settings),
        *_s3(settings),
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


def _java_of_trino(settings: Settings) -> list[Finding]:
    if not settings.is_live:
        return []
    home = java.find_since(settings, java.OF_TRINO)
    if home:
        return [Finding("ok", f"a Java for Trino in {home}")]
    cure = "run `make install`, which fetches one (104 MB, no root needed), or set JAVA_HOME to one"
    return [Finding("error", f"there is no Java {java.OF_TRINO} or newer for Trino: {cure}")]


def _ports(settings: Settings) -> list[Finding]:
    """A port must be free or used by a service of this home folder."""
    ports = settings.used_ports()
    twice = {port for port, count in Counter(ports.values()).items() if count > 1}
    findings = []
    for variable, port in ports.items():
        if port in twice:
            findings.append(Finding("error", f"port {port} is given to two services, one by {variable}: give each its own"))
        elif not _is_free(settings.bind, port):
            found = holders.of_port(port)
            if not holders.are_ours(settings, found):
                holder = f"process {found[0]} ({holders.name(found[0])})" if found else "a process of another account"
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


def _memory(available_mb: int, wanted_mb: int) -> Finding:
    if available_mb >= wanted_mb:
        return Finding("ok", f"{available_mb:,} MB of memory available, about {wanted_mb:,} MB wanted")
    without = "set EBAP_LIVE=no, " if wanted_mb > halves.CHANGE_DATA.memory_mb else ""
    cure = f"close other programs, {without}or lower EBAP_SPARK_MEMORY_MB and EBAP_LAND_MEMORY_MB"
    level = "error" if available_mb < wanted_mb // 2 else "warning"
    return Finding(level, f"only {available_mb:,} MB of memory available, about {wanted_mb:,} MB wanted: {cure}")


def _disk(settings: Settings) -> Finding:
    folder, wanted_mb = machine.disk_folder(settings), halves.disk_mb(settings)
    if not os.access(folder, os.W_OK):
        return Finding("error", f"{folder} cannot be written: set EBAP_HOME to a folder of yours")
    free_mb = machine.free_disk_mb(settings)
    if free_mb >= wanted_mb:
        return Finding("ok", f"{free_mb:,} MB of disk free in {folder}, about {wanted_mb:,} MB wanted")
    level = "error" if free_mb < wanted_mb // 3 else "warning"
    return Finding(
        level, f"only {free_mb:,} MB of disk free in {folder}, about {wanted_mb:,} MB wanted: free some, or set EBAP_HOME to another disk"
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


def _s3(settings: Settings) -> list[Finding]:
    """An S3 of the user's own: keys, an answer, both buckets."""
    if not (settings.is_live and settings.s3_endpoint):
        return []
    keys = [str(settings.secret_file(name)) for name in ("s3_access_key", "s3_secret_key")]
    if not all(map(os.path.isfile, keys)):
        return [Finding("error", f"there are no keys for EBAP_S3_ENDPOINT={settings.s3_endpoint}: write them into {' and '.join(keys)}")]
    try:
        from infra.services import s3

        s3.answers(settings)
    except ImportError:  # `make doctor` runs before anything is installed
        return [Finding("ok", f"the buckets of {settings.s3_endpoint} are checked once its client is installed")]
    except NotReadyError as error:
        cure = f"start it, create buckets {' and '.join(s3.BUCKETS)} there, or correct EBAP_S3_ENDPOINT"
        return [Finding("error", f"EBAP_S3_ENDPOINT={settings.s3_endpoint} cannot be used ({error}): {cure}")]
    return [Finding("ok", f"buckets {' and '.join(s3.BUCKETS)} of {settings.s3_endpoint} exist")]


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
