"""`python -m lakehouse`."""

import sys

from lakehouse.errors import exit_code_of


def main() -> int:
    """Run one command; the import is inside, because an invalid declaration raises its error while the commands are imported."""

    def run() -> int:
        from lakehouse.cli.main import main as run_command

        return run_command()

    return exit_code_of("lakehouse:", run)


if __name__ == "__main__":
    sys.exit(main())
