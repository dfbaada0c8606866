"""`python -m lakehouse`: what the platform knows about its tables, from a shell."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from lakehouse import arguments as controlled
from lakehouse import tables
from lakehouse.contract import ContractError, Table
from lakehouse.settings import PROJECT, Settings, SettingsError

_EXIT_CODES = (
    "Exits with 0 when done, 1 where check or forget --verify finds a fault, reconcile a difference, fence gives up or a query fails, "
    "2 with one line that names the cure."
)


def _tables(_: argparse.Namespace, settings: Settings) -> int:
    for table in (*tables.SOURCES, *tables.GOLD):
        kind = f"history {table.history.value}" if table.history else ("view" if table.is_view else f"sliced by {table.slice}")
        print(f"{table.full_name:22} {kind:18} key {', '.join(table.key):24} {table.grain}")
    return 0


def _ddl(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.lake import ddl

    print(";\n\n".join(ddl.statements(settings)) + ";")
    return 0


def _docs(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.cli import docs

    if arguments.write:
        docs.write_all(PROJECT)
    else:
        print(docs.dictionary())
    return 0


def _check(_: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.cli import check

    faults = check.faults(PROJECT)
    print("\n".join(faults) if faults else "the declarations and everything generated from them agree")
    return 1 if faults else 0


def _submit(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.spark import submit

    print(submit.line(settings, arguments.app, *arguments.arguments))
    return 0


def _fence(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.health import catch_up

    return catch_up.main(settings, timeout_s=arguments.timeout)


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
        raise ValueError(f"no record waits for reason {arguments.reason!r}: it is one of {', '.join(quarantine_counts.REASONS)}")
    table = tables.source(arguments.table)
    print(replay.run_swept(Lake(settings), table.name, arguments.reason, partial(_swept, settings, table)))
    return 0


def _swept(settings: Settings, table: Table) -> None:
    from lakehouse.silver import sweep
    from lakehouse.spark import session

    sweep.sweep(session.open_for_verb(settings), settings, table)


def _forget(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.forget import report

    if arguments.verify == bool(arguments.table or arguments.key) or bool(arguments.table) != bool(arguments.key):
        raise ValueError("name a table and a key, as in `forget users 42`, or give --verify alone")
    return report.main(settings, arguments.table, arguments.key, is_verify=arguments.verify)


def _reconcile(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.reconcile import reconcile
    from lakehouse.spark import session

    names = [tables.source(name).name for name in arguments.tables]
    return reconcile.command(session.open_for_verb(settings), settings, names, arguments.repair, arguments.timeout)


def _schema(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.source import gate

    said = gate.look(settings, only_if_changed=arguments.if_changed)
    print(said, end="\n" if said else "")
    return 0


def _accept(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.lake.lake import Lake
    from lakehouse.source import epoch_switch, mending, schema_log

    lake = Lake(settings)
    if arguments.what == "epoch":
        print(epoch_switch.accept(lake))
    else:
        accepted = schema_log.SchemaLog(lake).accept(tables.source(arguments.what))
        for change in accepted:
            print(f"accepted: {change}")
        if any(change.column and change.type_before and change.type_after for change in accepted):
            print(schema_log.READ_AGAIN.format(table=arguments.what))
        if any(change.what == schema_log.NOT_CAPTURED for change in accepted):
            mending.follow(lake)
            print(schema_log.READ_WHOLE.format(table=arguments.what))
    return 0


def _sql(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.spark import thrift

    return thrift.print_query(settings, arguments.query)


def _hold(arguments: argparse.Namespace, settings: Settings) -> int:
    from infra.nodes import hold, plan

    now = datetime.now(UTC)
    if arguments.duration == "off":
        hold.release(settings)
    elif arguments.duration:
        hold.place(settings, arguments.duration, now)
    print(f"the machines should run: {reason}" if (reason := plan.reason_to_run(settings, now)) else plan.why_off(settings, now))
    if not settings.gcp_project:
        print(f"but {plan.NO_PROJECT}")
    return 0


def _cost(_: argparse.Namespace, settings: Settings) -> int:
    from infra.nodes import cost

    print(cost.report(settings, datetime.now(UTC)))
    return 0


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    made = argparse.ArgumentParser(prog="python -m lakehouse", description=__doc__, epilog=_EXIT_CODES)
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace, Settings], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    command("tables", _tables, "List every declared table.")
    command("ddl", _ddl, "Print the SQL that makes every table and view.")
    docs = command("docs", _docs, "Print the data dictionary.")
    docs.add_argument("--write", action="store_true", help="write it, .env.example and the reference of settings into the project")
    command("check", _check, "Check that the declarations and all that is generated from them agree.")
    submit = command("submit", _submit, "Print the exact spark-submit line of an app.")
    submit.add_argument("app", help="spark (the warm server), land, refine, rebuild, aggregate, compact, reconcile or publish")
    submit.add_argument("arguments", nargs="*", help="arguments of the app")
    catch_up = command("fence", _fence, "Wait until everything committed at the source by now is in gold.")
    catch_up.add_argument("--timeout", type=float, default=300.0, metavar="S", help="give up after this many seconds (default 300)")
    text = "Rebuild a silver table from bronze, or some keys of it; readers see the old one until the new one is whole."
    controlled.rebuild(command("rebuild", _rebuild, text))
    controlled.pause(command("pause", _pause, "Keep a source table from being refined until it is resumed; its changes still land."))
    controlled.table(command("resume", _resume, "Let a paused table be refined again, from where it stands."))
    text = "Read a source table again from the source, all of it or some rows, beside what is captured."
    controlled.resnapshot(command("resnapshot", _resnapshot, text))
    replay = command("replay", _replay, "After a fix, read a table's waiting records of quarantine again; what can be read moves into it.")
    replay.add_argument("table", metavar="TABLE")
    replay.add_argument("--reason", metavar="REASON", help="only records that wait for this reason")
    forget = command(
        "forget", _forget, "Take a person out of the lake, now and for whatever comes later, and say where copies remain until when."
    )
    forget.add_argument("table", nargs="?", metavar="TABLE", help="source table of the row, such as users")
    forget.add_argument("key", nargs="?", metavar="KEY", help="its key: the value, or a JSON object of the key's columns")
    forget.add_argument("--verify", action="store_true", help="look into every file: say what is left of those forgotten, and until when")
    reconcile = command("reconcile", _reconcile, "Compare silver with a snapshot of the source and name the keys that differ.")
    reconcile.add_argument("tables", nargs="*", metavar="TABLE", help="all of them for none")
    reconcile.add_argument("--repair", action="store_true", help="have rows that differ read again, and close those the source has no more")
    reconcile.add_argument("--timeout", type=float, default=900.0, metavar="S", help="give up after this many seconds (default 900)")
    schema = command("schema", _schema, "Look at the source's schema now: record what changed, say what is not declared and what waits.")
    schema.add_argument("--if-changed", action="store_true", help="be done, quickly, where the last look saw the same")
    accept = command(
        "accept", _accept, "Let a table go on that a change of the source's schema stopped, or take another Postgres as source."
    )
    accept.add_argument("what", metavar="TABLE|epoch", help="the table; or `epoch`, for the Postgres that the settings name now")
    sql = command("sql", _sql, "Run one SQL query over Thrift and print its rows.")
    sql.add_argument("query", metavar="QUERY")
    hold = command(
        "hold", _hold, "Keep the machines on for a while, whatever the clock says; without a duration, say whether they should run."
    )
    hold.add_argument("duration", nargs="?", metavar="DURATION", help="90m, 2h, 1d (seven days at most), or off")
    command("cost", _cost, "Say what the machines cost a month, three ways, and what the schedule saved so far.")
    return made


def main() -> int:
    """Run one command; a fault the user can cure is one line on standard error."""
    arguments = parser().parse_args()
    try:
        code: int = arguments.run(arguments, Settings.from_environment())
        return code
    except (SettingsError, ContractError, FileNotFoundError, ConnectionError) as error:
        print(f"lakehouse: {error}", file=sys.stderr)
    except (KeyError, ValueError, RuntimeError) as error:
        print(f"lakehouse: {error.args[0] if error.args else error}", file=sys.stderr)
    return 2
