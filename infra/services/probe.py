"""`python -m infra.services.probe NAME`: exit with 0 if the service is ready, otherwise with 1 and the reason."""

from __future__ import annotations

import sys

from infra import services
from lakehouse import process
from lakehouse.errors import exit_code_of


def main(name: str) -> int:
    """Run the probe once."""
    settings = process.begin()
    return exit_code_of(f"{name}:", lambda: services.service(settings, name).probe(settings), failed=1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
