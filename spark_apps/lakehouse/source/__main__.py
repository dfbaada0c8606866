"""`python -m lakehouse.source`: set the capture up and look after it."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg2
from kafka.errors import KafkaError

from lakehouse.settings import Settings, SettingsError
from lakehouse.source import apply, connect, connector, mending, preflight, topics
from lakehouse.source.connection import mark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SNAPSHOT_LIMIT_S = 600
_EXIT_CODES = "Exits with 0 when done, 1 with one clear message where not."
_MESSAGES = (
    preflight.PreflightError,
    connect.WorkerError,
    connector.AddressError,
    topics.TopicError,
    SettingsError,
)


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    made = argparse.ArgumentParser(prog="python -m lakehouse.source", description=__doc__, epilog=_EXIT_CODES)
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, do: Callable[[Settings, argparse.Namespace], str], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(do=do)
        return added

    command("apply", _apply, "Prepare the source, run the preflight, put the connector and wait until it runs; safe to repeat.")
    command("preflight", _preflight, "Only look: name everything that keeps capture from starting.")
    waiting = command("wait-snapshot", _wait_snapshot, "Wait until the initial snapshot is complete.")
    waiting.add_argument(
        "--timeout", type=float, default=SNAPSHOT_LIMIT_S, metavar="S", help="give up after this many seconds (default %(default)s)"
    )
    command("show", _show, "Print the connector's configuration, with references in place of passwords.")
    command("delete", _delete, "Delete the connector; slot, publication and offsets stay.")
    return made


def main() -> int:
    """Do one command; gives the exit code."""
    arguments = parser().parse_args()
    try:
        settings = Settings.from_environment()
        print(arguments.do(settings, arguments))
    except _MESSAGES as error:
        print(error, file=sys.stderr)
        return 1
    except KafkaError as error:
        print(f"Kafka at {settings.kafka_bootstrap} does not answer ({error}): see `make status`", file=sys.stderr)
        return 1
    except psycopg2.OperationalError as error:
        print(f"The source does not let its owner in: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except psycopg2.ProgrammingError as error:
        # Mostly a role or a right that a source of one's own has not got yet.
        said = " ".join(str(error).split())
        print(
            f"The source refuses what capture prepares in it: {said}. The README says what it needs of a Postgres of yours", file=sys.stderr
        )
        return 1
    return 0


def _apply(settings: Settings, _: argparse.Namespace) -> str:
    apply.apply(settings, _lake(settings))
    return f"connector {connector.NAME} runs"


def _preflight(settings: Settings, _: argparse.Namespace) -> str:
    from lakehouse.lake import epochs
    from lakehouse.source import schema_log

    spark = _lake(settings)
    known = epochs.source_identity(spark)
    identity = apply.check(settings, known.identity if known else None, schema_log.altered_columns(spark))
    return f"nothing stands in the way of capturing Postgres {identity}"


def _wait_snapshot(settings: Settings, asked: argparse.Namespace) -> str:
    # The first change after the snapshot says that it is over: ours, so that nobody waits for the connector's next heartbeat.
    connect.wait_snapshot(settings, asked.timeout, lambda: mark(settings))
    return "the initial snapshot is complete"


def _show(settings: Settings, _: argparse.Namespace) -> str:
    from lakehouse.lake import epochs

    spark = _lake(settings)
    known = epochs.source_identity(spark)
    epoch, placeholder = (known.epoch, known.placeholders[-1]) if known else (1, "<random, made by apply>")
    return json.dumps(apply.rendered(settings, epoch, placeholder, mending.scope(spark)), indent=2)


def _delete(settings: Settings, _: argparse.Namespace) -> str:
    return f"connector {connector.NAME} is deleted" if connect.delete(settings) else f"there is no connector {connector.NAME}"


def _lake(settings: Settings) -> SparkSession:
    """The warm server keeps what the lake knows of its source."""
    from lakehouse.spark import session

    try:
        socket.create_connection((settings.spark_host, settings.spark_connect_port), timeout=10).close()
    except OSError:
        raise connect.WorkerError(f"the warm Spark server at {settings.spark_remote} does not answer: see `make status`") from None
    return session.connect(settings)


if __name__ == "__main__":
    sys.exit(main())
