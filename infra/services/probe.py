"""`python -m infra.services.probe NAME`: exit with 0 if the service is ready, otherwise with 1 and the reason."""

from __future__ import annotations

import sys

from infra import services
from infra.services.step import NotReadyError
from lakehouse.settings import Settings


def main(name: str) -> int:
    """Ask once; KeyError for a name that is none."""
    settings = Settings.from_environment()
    try:
        services.service(settings, name).probe(settings)
    except NotReadyError as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
