"""Commands on the content of tables: catch-up, rebuild, replay, pause, reconcile, forget."""

from __future__ import annotations

import argparse
import getpass
from functools import partial

from lakehouse import arguments as controlled
from lakehouse import tables
from lakehouse.cli.command import Command
from lakehouse.contract import Table
from lakehouse.errors import EbapError
from lakehouse.settings import Settings


def _catch_up(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.health import catch_up

    return catch_up.main(settings, timeout_s=arguments.timeout, is_live=arguments.live)


def _catch_up_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", type=float, default=300.0, metavar="S", help="give up after this many seconds (default 300)")
    parser.add_argument("--live", action="store_true", help="wait for the events that Kafka has by now to be in iceberg.ebap instead")


def _rebuild(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.silver import rebuild
    from lakehouse.spark import session

    print(rebuild.call(arguments)(session.open_for_verb(settings), settings))
    return 0


def _pause(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.silver import pausing

    print(pausing.pause(settings, arguments.table, getpass.getuser(), arguments.reason))
    return 0


def _resume(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.silver import pausing

    print(pausing.resume(settings, arguments.table))
    return 0


def _resnapshot(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.source import resnapshot

    print(resnapshot.ask(settings, arguments))
    return 0


def _replay(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.lake import quarantine_counts
    from lakehouse.lake.lake import Lake
    from lakehouse.silver import replay

    if arguments.reason not in (None, *quarantine_counts.REASONS):
        raise EbapError(f"unknown reason {arguments.reason!r}", f"it is one of {', '.join(quarantine_counts.REASONS)}")
    table = tables.source(arguments.table)
    print(replay.run_swept(Lake(settings), table.name, arguments.reason, partial(_swept, settings, table)))
    return 0


def _swept(settings: Settings, table: Table) -> None:
    from lakehouse.silver import sweep
    from lakehouse.spark import session

    sweep.sweep(session.open_for_verb(settings), settings, table)


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", metavar="TABLE")
    parser.add_argument("--reason", metavar="REASON", help="only records quarantined for this reason")


def _forget(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.forget import report

    if arguments.verify == bool(arguments.table or arguments.key) or bool(arguments.table) != bool(arguments.key):
        raise EbapError("forget takes a table and a key, as in `forget users 42`, or --verify alone")
    return report.main(settings, arguments.table, arguments.key, is_verify=arguments.verify)


def _forget_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", nargs="?", metavar="TABLE", help="source table of the row, such as users")
    parser.add_argument("key", nargs="?", metavar="KEY", help="its key: the value, or a JSON object of the key's columns")
    parser.add_argument("--verify", action="store_true", help="search every file for forgotten keys, and report until when files hold them")


def _reconcile(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.reconcile import reconcile
    from lakehouse.spark import session

    names = [tables.source(name).name for name in arguments.tables]
    return reconcile.command(session.open_for_verb(settings), settings, names, arguments.repair, arguments.timeout)


def _reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="default: all tables")
    parser.add_argument("--repair", action="store_true", help="read differing rows again, and delete rows missing at the source")
    parser.add_argument("--timeout", type=float, default=900.0, metavar="S", help="give up after this many seconds (default 900)")


def _sql(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.spark import thrift

    return thrift.print_query(settings, arguments.query)


def _sql_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY")


COMMANDS = (
    Command(
        name="catch-up",
        formerly="fence",
        text="Wait until everything committed at the source by now is in gold.",
        run=_catch_up,
        arguments=_catch_up_arguments,
    ),
    Command(
        name="rebuild",
        text="Rebuild a silver table from bronze, or some keys of it; readers see the old rows until the commit.",
        run=_rebuild,
        arguments=controlled.rebuild,
    ),
    Command(
        name="pause",
        text="Stop refining a source table until it is resumed; its changes still land.",
        run=_pause,
        arguments=controlled.pause,
    ),
    Command(
        name="resume",
        text="Refine a paused table again, from its checkpoint.",
        run=_resume,
        arguments=controlled.table,
    ),
    Command(
        name="resnapshot",
        text="Read a source table again from the source, all of it or some rows, while capture continues.",
        run=_resnapshot,
        arguments=controlled.resnapshot,
    ),
    Command(
        name="replay",
        text="After a fix, decode a table's quarantined records again; readable ones move into the table.",
        run=_replay,
        arguments=_replay_arguments,
    ),
    Command(
        name="forget",
        text="Erase a person from the lake, later records included, and report where copies remain until when.",
        run=_forget,
        arguments=_forget_arguments,
    ),
    Command(
        name="reconcile",
        text="Compare silver with a snapshot of the source and list the keys that differ.",
        run=_reconcile,
        arguments=_reconcile_arguments,
    ),
    Command(name="sql", text="Run one SQL query over Thrift and print its rows.", run=_sql, arguments=_sql_arguments),
)
