"""Commands on declarations: tables, generated files, the line that starts an app."""

from __future__ import annotations

import argparse

from lakehouse import tables
from lakehouse.cli.command import Command
from lakehouse.settings import PROJECT, Settings
from lakehouse.verbs import SUBMITTED


def _tables(_: argparse.Namespace, settings: Settings) -> int:
    for table in (*tables.SOURCES, *tables.GOLD):
        kind = f"history {table.history.value}" if table.history else ("view" if table.is_view else f"sliced by {table.slice}")
        print(f"{table.full_name:22} {kind:18} key {', '.join(table.key):24} {table.grain}")
    return 0


def _ddl(_: argparse.Namespace, settings: Settings) -> int:
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


def _docs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help="write all generated files of `lakehouse` into the project")


def _check(_: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.cli import check

    faults = check.faults(PROJECT)
    print("\n".join(faults) if faults else "the declarations and all generated files agree")
    return 1 if faults else 0


def _submit(arguments: argparse.Namespace, settings: Settings) -> int:
    from lakehouse.spark import submit

    print(submit.line(settings, arguments.app, *arguments.arguments))
    return 0


def _submit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help=f"spark (the warm server), {', '.join(SUBMITTED[:-1])} or {SUBMITTED[-1]}")
    parser.add_argument("arguments", nargs="*", help="arguments of the app")


COMMANDS = (
    Command(name="tables", text="List every source and gold table.", run=_tables),
    Command(name="ddl", text="Print the SQL that creates every table and view of the Delta lake.", run=_ddl),
    Command(name="docs", text="Print the data dictionary.", run=_docs, arguments=_docs_arguments),
    Command(name="check", text="Check that the declarations and all generated files agree.", run=_check),
    Command(name="submit", text="Print the exact spark-submit line of an app.", run=_submit, arguments=_submit_arguments),
)
