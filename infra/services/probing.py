"""Shared parts of readiness probes: a port, a page, a report; each raises NotReadyError with the cause.

Clients are imported where they are used, here and in the services' probes: every service is started by a Python process that imports all
declarations, and importing the clients takes 0.6 CPU seconds.
"""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.services import runs
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings

TIMEOUT_S = 5


def listens(host: str, port: int) -> None:
    """Something listens on that port."""
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except OSError as error:
        raise NotReadyError(f"port {port}: {error.strerror or error}") from error


def page(url: str) -> Any:
    """The JSON answer of the page."""
    import requests

    try:
        answer = requests.get(url, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()
    except (requests.RequestException, json.JSONDecodeError) as error:
        raise NotReadyError(f"{url} does not answer ({type(error).__name__})") from error


def reported_since_start(settings: Settings, name: str, path: Path) -> None:
    """The service has written its report since this start."""
    started_at = runs.read(settings, name).started_at
    if not path.is_file() or started_at is None or datetime.fromtimestamp(path.stat().st_mtime, UTC) < started_at:
        raise NotReadyError("it has not reported since it started")
