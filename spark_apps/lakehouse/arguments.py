"""Arguments of the commands on single tables, shared by the shell and Airflow. Does not import Spark."""

from __future__ import annotations

import argparse
from datetime import date

from lakehouse import tables
from lakehouse.errors import EbapError

_KEYS = "only these keys: plain values, or JSON objects for a key of several columns; [...] for several"


def table(parser: argparse.ArgumentParser) -> None:
    """The source table."""
    names = [source.name for source in tables.SOURCES]
    parser.add_argument("table", metavar="TABLE", choices=names, help=", ".join(names))


def pause(parser: argparse.ArgumentParser) -> None:
    """The table and the reason."""
    table(parser)
    parser.add_argument("--reason", metavar="TEXT", help="reason, shown while the table is paused")


def rebuild(parser: argparse.ArgumentParser) -> None:
    """The table, and optionally keys or days."""
    table(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--keys", nargs="+", metavar="KEY", help=_KEYS)
    days = "only keys that changed on that UTC day (YYYY-MM-DD), or from the first to the second"
    part.add_argument("--days", nargs="+", type=date.fromisoformat, metavar="DAY", help=days)


def resnapshot(parser: argparse.ArgumentParser) -> None:
    """The table, and optionally keys or a condition."""
    table(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--keys", nargs="+", metavar="KEY", help=_KEYS)
    part.add_argument("--where", metavar="SQL", help="only rows that meet this condition, in the source's SQL")
    parser.add_argument("--wait", type=float, metavar="S", help="wait until the snapshot is complete, for at most this many seconds")


def one_source(argv: list[str]) -> str:
    """The source table that the arguments name; EbapError unless they name exactly one."""
    names = [source.name for source in tables.SOURCES]
    if len(argv) != 1 or argv[0] not in names:
        raise EbapError("name exactly one table", f"it is one of {', '.join(names)}")
    return argv[0]


def days_of(parsed: argparse.Namespace) -> tuple[date, date] | None:
    """The first and last requested day, None for no days; EbapError unless they are one or two, in order."""
    if not parsed.days:
        return None
    first, last = parsed.days[0], parsed.days[-1]
    if len(parsed.days) > 2 or first > last:
        raise EbapError(f"--days takes one day, or the first and the last, not {' '.join(map(str, parsed.days))}")
    return first, last
