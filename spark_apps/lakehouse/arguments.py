"""Arguments of the commands on single tables, the same from a shell and from Airflow. Loads no Spark."""

from __future__ import annotations

import argparse
from datetime import date

from lakehouse import tables
from lakehouse.errors import EbapError

_KEYS = "only these keys: plain values, or JSON objects for a key of several columns; [...] for several"


def table(parser: argparse.ArgumentParser) -> None:
    """The source table it is about."""
    names = [source.name for source in tables.SOURCES]
    parser.add_argument("table", metavar="TABLE", choices=names, help=", ".join(names))


def pause(parser: argparse.ArgumentParser) -> None:
    """Which table, and what is told of it."""
    table(parser)
    parser.add_argument("--reason", metavar="TEXT", help="why, for whoever finds it paused")


def rebuild(parser: argparse.ArgumentParser) -> None:
    """Which table, and which part of it."""
    table(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--keys", nargs="+", metavar="KEY", help=_KEYS)
    days = "only keys that changed on that UTC day (YYYY-MM-DD), or from the first to the second"
    part.add_argument("--days", nargs="+", type=date.fromisoformat, metavar="DAY", help=days)


def resnapshot(parser: argparse.ArgumentParser) -> None:
    """Which table, and which rows of it."""
    table(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--keys", nargs="+", metavar="KEY", help=_KEYS)
    part.add_argument("--where", metavar="SQL", help="only rows that meet this condition, in the source's SQL")
    parser.add_argument("--wait", type=float, metavar="S", help="wait until it has been read, for at most so many seconds")


def one_source(argv: list[str]) -> str:
    """The one source table that the arguments name; EbapError where they do not."""
    names = [source.name for source in tables.SOURCES]
    if len(argv) != 1 or argv[0] not in names:
        raise EbapError("one table is to be named", f"it is one of {', '.join(names)}")
    return argv[0]


def days_of(given: argparse.Namespace) -> tuple[date, date] | None:
    """The first and the last day asked for, None for no days; EbapError where they are not one or two, in order."""
    if not given.days:
        return None
    first, last = given.days[0], given.days[-1]
    if len(given.days) > 2 or first > last:
        raise EbapError(f"--days takes one day, or the first and the last, not {' '.join(map(str, given.days))}")
    return first, last
