"""Declaration of a command of `python -m lakehouse`, and the parser built from the declarations."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command; `run` returns the exit code and imports its own dependencies, so that other commands start fast.

    A command with `commands` is a group of them. `formerly` is its name in the previous release.
    """

    name: str
    text: str
    run: Callable[[argparse.Namespace, Settings], int] | None = None
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    commands: tuple[Command, ...] = ()
    formerly: str | None = None


def add(parser: argparse.ArgumentParser, commands: Sequence[Command]) -> None:
    """Add these commands to the parser, each with its arguments or subcommands."""
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        subparser = subparsers.add_parser(command.name, help=command.text, description=command.text)
        command.arguments(subparser)
        if command.commands:
            add(subparser, command.commands)
        else:
            subparser.set_defaults(run=command.run)


@contextmanager
def named_parts(settings: Settings) -> Iterator[None]:
    """Within the block, replace errors of the Kafka and Postgres clients with a NotReadyError that names the server."""
    try:
        yield
    except Exception as error:
        # Imported here, so that commands without these clients start fast.
        import psycopg2
        from kafka.errors import KafkaError

        if isinstance(error, KafkaError):
            raise NotReadyError(f"Kafka at {settings.kafka_bootstrap} does not answer ({error})", "see `make status`") from error
        if isinstance(error, psycopg2.OperationalError):
            raise NotReadyError(f"cannot log in to the source as its owner: {' '.join(str(error).split())}") from error
        raise
