"""Commands on the live half: queries over Trino, and the validation of what is stored."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from lakehouse import tables
from lakehouse.cli.command import Command
from lakehouse.errors import EbapError
from lakehouse.settings import Settings


def _trino(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.live import trino

    _require_live(settings)
    answer = trino.query(settings, arguments.query)
    print("\t".join(answer.columns))
    for row in answer.rows:
        print("\t".join("NULL" if value is None else str(value) for value in row))
    return 0


def _trino_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY", help="in Trino's SQL; tables without a schema are those of iceberg.ebap")


def _validate(_: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.live import validate

    _require_live(settings)
    found = list(validate.run(settings, settings.ledger))
    for finding in found:
        print(f"{'ok   ' if finding.is_right else 'WRONG'} {finding.text}")
    return 0 if all(finding.is_right for finding in found) else 1


def _optimize(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.live import maintenance

    _require_live(settings)
    made = maintenance.run(settings, tables.live(arguments.table), datetime.now(UTC))
    expired = "older snapshots expired" if made.has_expired else "snapshots kept, as the final lane has not committed for half a day"
    print(f"{made.table}: {made.files_before:,} files are {made.files_after:,}, {expired}")
    return 0


def _optimize_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", choices=[table.name for table in tables.LIVE])


def _skip(_: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.live import offsets

    _require_live(settings)
    offsets.skip_file(settings).touch()
    print("the final lane goes on behind the gap within ten seconds; `python -m lakehouse validate` counts what is lost")
    return 0


def _require_live(settings: Settings) -> None:
    if not settings.is_live:
        raise EbapError("the live half does not run here", "`make live` adds it")


COMMANDS = (
    Command(name="trino", text="Run one SQL query over Trino and print its rows.", run=_trino, arguments=_trino_arguments),
    Command(
        name="validate",
        text="Compare the live half's tables with Kafka's offsets, their partitions, final windows, and the ledger of what was sent.",
        run=_validate,
    ),
    Command(
        name="optimize",
        text="Merge the small files of a live table, expire its old snapshots, remove files that none refers to.",
        run=_optimize,
        arguments=_optimize_arguments,
    ),
    Command(
        name="skip-events",
        text="Let the live half go on behind events that Kafka deleted before they were stored.",
        run=_skip,
    ),
)
