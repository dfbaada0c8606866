"""Commands on the source: capture, topics, and changes of the source's schema."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from lakehouse import platform_tables, tables, wait
from lakehouse.cli.command import Command
from lakehouse.errors import EbapError, NotReadyError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from lakehouse.lake.lake import Lake

SNAPSHOT_LIMIT_S = 600
LAKE_LIMIT_S = 300


def _schema(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.source import gate

    said = gate.look(settings, only_if_changed=arguments.if_changed)
    print(said, end="\n" if said else "")
    return 0


def _schema_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--if-changed", action="store_true", help="be done, quickly, where the last look saw the same")


def _accept(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.lake.lake import Lake
    from lakehouse.source import admission, epoch_switch

    lake = Lake(settings)
    if arguments.what == "epoch":
        print(epoch_switch.accept(lake))
    else:
        print("\n".join(admission.accept(lake, tables.source(arguments.what))))
    return 0


def _accept_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="TABLE|epoch", help="the table; or `epoch`, for the Postgres that the settings name now")


def _topics(arguments: argparse.Namespace, settings: Settings) -> str:
    from lakehouse.source import topics

    return "\n".join(topics.ensure(settings, may_correct=arguments.correct))


def _topics_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--correct", action="store_true", help="set cleanup.policy=delete on a topic that has another")


def _apply(_: argparse.Namespace, settings: Settings) -> str:
    from lakehouse.source import apply, connector

    apply.apply(_lake(settings, LAKE_LIMIT_S))
    return f"connector {connector.NAME} runs"


def _preflight(_: argparse.Namespace, settings: Settings) -> str:
    from lakehouse.lake import epochs
    from lakehouse.source import apply
    from lakehouse.source.schema_log import SchemaLog

    lake = _lake(settings)
    known, log = epochs.of_lake(lake), SchemaLog(lake)
    identity = apply.check(settings, known.identity if known else None, log.altered_columns(), apply.fit(log))
    return f"nothing stands in the way of capturing Postgres {identity}"


def _wait_snapshot(arguments: argparse.Namespace, settings: Settings) -> str:
    from lakehouse.source import connect
    from lakehouse.source.connection import mark

    # The first change after the snapshot shows that it is over: made here, so that nobody waits for the connector's next heartbeat.
    connect.wait_snapshot(settings, arguments.timeout, lambda: mark(settings))
    return "the initial snapshot is complete"


def _wait_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=float, default=SNAPSHOT_LIMIT_S, metavar="S", help="give up after this many seconds (default %(default)s)"
    )


def _show(_: argparse.Namespace, settings: Settings) -> str:
    from lakehouse.lake import epochs
    from lakehouse.source import apply, mending
    from lakehouse.source.schema_log import SchemaLog

    lake = _lake(settings)
    known = epochs.of_lake(lake)
    epoch, placeholder = (known.epoch, known.placeholders[-1]) if known else (1, "<random, made by apply>")
    return json.dumps(apply.rendered(settings, epoch, placeholder, mending.scope(SchemaLog(lake))), indent=2)


def _delete(_: argparse.Namespace, settings: Settings) -> str:
    from lakehouse.source import connect, connector

    return f"connector {connector.NAME} is deleted" if connect.delete(settings) else f"there is no connector {connector.NAME}"


def _lake(settings: Settings, limit_s: float = 0.0) -> Lake:
    """The lake, which keeps what is known of its source. A new one has no tables until the catalog is made: wait for them so long."""
    from lakehouse.delta.errors import NoTableError
    from lakehouse.lake.lake import Lake

    lake = Lake(settings)
    for _ in wait.looks(limit_s):
        with suppress(NoTableError):
            lake.snapshot(platform_tables.SCHEMA_CHANGES)
            lake.snapshot(platform_tables.CHANGES)
            return lake
    raise NotReadyError(
        f"the lake at {settings.lake_root} has no tables yet", "`python spark_apps/publish.py` makes them, see `make status`"
    )


def _reported(do: Callable[[argparse.Namespace, Settings], str]) -> Callable[[argparse.Namespace, Settings], int]:
    """Print what `do` returns; a refusal of the source names where it stands what capture needs."""

    def run(arguments: argparse.Namespace, settings: Settings) -> int:
        import psycopg2

        try:
            print(do(arguments, settings))
        except psycopg2.ProgrammingError as error:
            # Mostly a role or a right that a source of one's own has not got yet.
            cause = " ".join(str(error).split())
            what = f"the source refuses what capture prepares in it: {cause}"
            raise EbapError(what, "the README says what it needs of a Postgres of yours") from error
        return 0

    return run


_CAPTURE = (
    Command(
        name="apply",
        text="Prepare the source, run the preflight, put the connector and wait until it runs; safe to repeat.",
        run=_reported(_apply),
    ),
    Command(name="preflight", text="Only look: name everything that keeps capture from starting.", run=_reported(_preflight)),
    Command(
        name="wait-snapshot", text="Wait until the initial snapshot is complete.", run=_reported(_wait_snapshot), arguments=_wait_arguments
    ),
    Command(name="show", text="Print the connector's configuration, with references in place of passwords.", run=_reported(_show)),
    Command(name="delete", text="Delete the connector; slot, publication and offsets stay.", run=_reported(_delete)),
)

COMMANDS = (
    Command(name="capture", text="Set the capture up and look after it.", commands=_CAPTURE),
    Command(
        name="topics",
        text="Create the topics of the change log and hold their settings; safe to repeat.",
        run=_reported(_topics),
        arguments=_topics_arguments,
    ),
    Command(
        name="schema",
        text="Look at the source's schema now: record what changed, say what is not declared and what waits.",
        run=_schema,
        arguments=_schema_arguments,
    ),
    Command(
        name="accept",
        text="Let a table go on that a change of the source's schema stopped, or take another Postgres as source.",
        run=_accept,
        arguments=_accept_arguments,
    ),
)
