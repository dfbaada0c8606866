"""Serve the boards: `python -m dashboards.boards`."""

from __future__ import annotations

import sys

import uvicorn

from dashboards.boards.app import application
from lakehouse import process
from lakehouse.errors import exit_code_of


def main() -> None:
    """Serve until the process is stopped."""
    settings = process.begin()
    uvicorn.run(application(settings), host=settings.bind, port=settings.boards_port, access_log=False, log_level="info")


if __name__ == "__main__":
    sys.exit(exit_code_of("boards:", main, failed=1))
