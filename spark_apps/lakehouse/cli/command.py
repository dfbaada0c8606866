"""Declaration of a command of `python -m lakehouse`, and the parser that follows from the declarations."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command; `run` gives the exit code and imports what it needs itself, so that no command pays for another.

    A command with `commands` is only their common name. `formerly` is a name that it had in the release before.
    """

    name: str
    text: str
    run: Callable[[argparse.Namespace, Settings], int] | None = None
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    commands: tuple[Command, ...] = ()
    formerly: str | None = None


def add(parser: argparse.ArgumentParser, commands: Sequence[Command]) -> None:
    """Give the parser these commands, and each its arguments or its own commands."""
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        made = added.add_parser(command.name, help=command.text, description=command.text)
        command.arguments(made)
        if command.commands:
            add(made, command.commands)
        else:
            made.set_defaults(run=command.run)


@contextmanager
def named_parts(settings: Settings) -> Iterator[None]:
    """Within the block: an error of Kafka's or Postgres' client names the part that does not answer. NotReadyError in its place."""
    try:
        yield
    except Exception as error:
        # Loaded only now: no command pays for a client that it does not use.
        import psycopg2
        from kafka.errors import KafkaError

        if isinstance(error, KafkaError):
            raise NotReadyError(f"Kafka at {settings.kafka_bootstrap} does not answer ({error})", "see `make status`") from error
        if isinstance(error, psycopg2.OperationalError):
            raise NotReadyError(f"cannot log in to the source as its owner: {' '.join(str(error).split())}") from error
        raise
