"""`python -m lakehouse.source`: set the capture up and look after it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import psycopg2
from kafka.errors import KafkaError

from lakehouse import platform_tables
from lakehouse.delta.errors import NoTable
from lakehouse.lake import epochs
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings, SettingsError
from lakehouse.source import apply, connect, connector, mending, preflight, topics
from lakehouse.source.connection import mark
from lakehouse.source.schema_log import SchemaLog

SNAPSHOT_LIMIT_S = 600
LAKE_LIMIT_S = 300
_POLL_S = 0.5
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
    apply.apply(_lake(settings, LAKE_LIMIT_S))
    return f"connector {connector.NAME} runs"


def _preflight(settings: Settings, _: argparse.Namespace) -> str:
    lake = _lake(settings)
    known = epochs.of_lake(lake)
    identity = apply.check(settings, known.identity if known else None, SchemaLog(lake).altered_columns())
    return f"nothing stands in the way of capturing Postgres {identity}"


def _wait_snapshot(settings: Settings, asked: argparse.Namespace) -> str:
    # The first change after the snapshot says that it is over: ours, so that nobody waits for the connector's next heartbeat.
    connect.wait_snapshot(settings, asked.timeout, lambda: mark(settings))
    return "the initial snapshot is complete"


def _show(settings: Settings, _: argparse.Namespace) -> str:
    lake = _lake(settings)
    known = epochs.of_lake(lake)
    epoch, placeholder = (known.epoch, known.placeholders[-1]) if known else (1, "<random, made by apply>")
    return json.dumps(apply.rendered(settings, epoch, placeholder, mending.scope(SchemaLog(lake))), indent=2)


def _delete(settings: Settings, _: argparse.Namespace) -> str:
    return f"connector {connector.NAME} is deleted" if connect.delete(settings) else f"there is no connector {connector.NAME}"


def _lake(settings: Settings, limit_s: float = 0.0) -> Lake:
    """The lake, which keeps what is known of its source; a new one once its tables are there, for which it waits so long."""
    lake, give_up_at = Lake(settings), time.monotonic() + limit_s
    while True:
        try:
            lake.snapshot(platform_tables.SCHEMA_CHANGES)
            lake.snapshot(platform_tables.CHANGES)
            return lake
        except NoTable:
            if time.monotonic() > give_up_at:
                raise connect.WorkerError(
                    f"the lake at {settings.lake_root} has no tables yet: `python spark_apps/publish.py` makes them, see `make status`"
                ) from None
            time.sleep(_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
