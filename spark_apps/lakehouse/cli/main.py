"""`python -m lakehouse`: inspect and operate the platform's tables from a shell."""

from __future__ import annotations

import argparse
import sys

from lakehouse.cli.command import add
from lakehouse.cli.commands import COMMANDS
from lakehouse.contract import ContractError
from lakehouse.settings import Settings, SettingsError

_EXIT_CODES = (
    "Exits with 0 when done, 1 where check or forget --verify finds a fault, reconcile a difference, catch-up gives up or a query fails, "
    "2 with one line that names the cure."
)
_RENAMED = {command.formerly: command.name for command in COMMANDS if command.formerly}


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    made = argparse.ArgumentParser(prog="python -m lakehouse", description=__doc__, epilog=_EXIT_CODES)
    add(made, COMMANDS)
    return made


def main(argv: list[str] | None = None) -> int:
    """Run one command; a fault the user can cure is one line on standard error."""
    arguments = parser().parse_args(_with_new_name(sys.argv[1:] if argv is None else argv))
    try:
        code: int = arguments.run(arguments, Settings.from_environment())
        return code
    except (SettingsError, ContractError, FileNotFoundError, ConnectionError) as error:
        print(f"lakehouse: {error}", file=sys.stderr)
    except (KeyError, ValueError, RuntimeError) as error:
        print(f"lakehouse: {error.args[0] if error.args else error}", file=sys.stderr)
    return 2


def renamed(old: str, new: str) -> None:
    """Print that a command has a new name; the old one works for one release."""
    print(f"`{old}` is now `{new}`; the old name works until the next release", file=sys.stderr)


def _with_new_name(argv: list[str]) -> list[str]:
    if not argv or argv[0] not in _RENAMED:
        return argv
    new = _RENAMED[argv[0]]
    renamed(f"python -m lakehouse {argv[0]}", f"python -m lakehouse {new}")
    return [new, *argv[1:]]
