"""Serve the boards: `python -m dashboards.boards`."""

from __future__ import annotations

import sys

import uvicorn

from dashboards.boards.app import application
from lakehouse.errors import exit_code_of
from lakehouse.settings import Settings


def main() -> None:
    """Serve until told to stop."""
    settings = Settings.from_environment()
    uvicorn.run(application(settings), host=settings.bind, port=settings.boards_port, access_log=False, log_level="info")


if __name__ == "__main__":
    sys.exit(exit_code_of("boards:", main, failed=1))
