"""`python -m lakehouse`: inspect and operate the platform's tables from a shell."""

from __future__ import annotations

import argparse
import os
import sys

from lakehouse import process
from lakehouse.cli.command import add, named_parts
from lakehouse.cli.commands import COMMANDS
from lakehouse.errors import exit_code_of

_EXIT_CODES = (
    "Exits with 0 when done, 1 if check, validate or forget --verify finds a fault, reconcile finds a difference, catch-up times out or a "
    "query of sql fails, 2 with one line that names the cure."
)
# As the shell reports a process that SIGPIPE ended.
_PIPE_CLOSED = 141
_RENAMED = {command.formerly: command.name for command in COMMANDS if command.formerly}


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    root = argparse.ArgumentParser(prog="python -m lakehouse", description=__doc__, epilog=_EXIT_CODES)
    add(root, COMMANDS)
    return root


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; an error with a known cause is one line on standard error."""
    arguments = parser().parse_args(_with_new_name(sys.argv[1:] if argv is None else argv))
    return exit_code_of("lakehouse:", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    settings = process.begin()
    try:
        with named_parts(settings):
            code: int = arguments.run(arguments, settings)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has enough; Python would flush into the pipe once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    return code


def renamed(old: str, new: str) -> None:
    """Print that a command has a new name; the old name works for one release."""
    print(f"`{old}` is now `{new}`; the old name works until the next release", file=sys.stderr)


def _with_new_name(argv: list[str]) -> list[str]:
    if not argv or argv[0] not in _RENAMED:
        return argv
    new = _RENAMED[argv[0]]
    renamed(f"python -m lakehouse {argv[0]}", f"python -m lakehouse {new}")
    return [new, *argv[1:]]
