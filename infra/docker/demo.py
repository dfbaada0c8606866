"""Demo steps in containers: `python -m infra.docker.demo past` writes the simulated past, `card` prints the end card."""

from __future__ import annotations

import subprocess
import sys

from rich.console import Console

from generator.control import Control
from infra.local import demo
from lakehouse import process
from lakehouse.errors import exit_code_of
from lakehouse.settings import Settings

_NEXT = (
    "docker compose exec boards python -m lakehouse sql 'SELECT * FROM gold.daily_sales ORDER BY day DESC LIMIT 7'",
    "docker compose exec boards cat .ebap/secrets/airflow_admin            a password",
    "docker compose exec generator python -m generator pause | resume      the shop's traffic",
    "docker compose ps          services and their health",
    "docker compose down        stop; data stays      docker compose down -v   remove everything",
)


def past(settings: Settings) -> int:
    """Write the past, or continue an interrupted one; does nothing if the generator already runs."""
    if Control(settings.control_dir).is_alive():
        print("the generator is running: the past is already written")
        return 0
    return subprocess.run([sys.executable, "-m", "generator", "backfill", "--days", str(settings.backfill_days)]).returncode


def card(settings: Settings) -> int:
    """Wait until every gold table has rows, then print the end card."""
    console = Console(width=140)
    demo.fill_gold(settings, console)
    demo.end_card(settings, console, None, _NEXT)
    return 0


if __name__ == "__main__":
    step = {"past": past, "card": card}[sys.argv[1]]
    sys.exit(exit_code_of(f"{sys.argv[1]}:", lambda: step(process.begin()), failed=1))
