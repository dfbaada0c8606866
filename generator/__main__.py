"""`python -m generator`: run and control the simulated shop and its clicks."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from datetime import UTC, datetime
from typing import NoReturn

from generator import arguments, backfill, entries, pools
from generator.clicks import commands as clicks
from generator.clicks.outbox import Writer
from generator.control import Control
from generator.live import Service
from generator.personas import REAL
from generator.report import emit
from generator.sink import PostgresSink
from generator.world import World
from lakehouse import process
from lakehouse.errors import EbapError, exit_code_of
from lakehouse.settings import Settings

_EXIT_CODES = "Exits with 0 on success, 2 with one line that gives the cure, 130 after Ctrl-C."
_PAUSE_LIMIT_S = 15.0


class _OneLine(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise EbapError(message, f"see `{self.prog} --help`")


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns 0, or 2 with one line on standard error that gives the cure."""
    try:
        return exit_code_of("generator:", lambda: _do(argv))
    except KeyboardInterrupt:
        return 130


def _do(argv: list[str] | None) -> None:
    args = parser().parse_args(argv)
    args.do(args, process.begin())


def schema(_: argparse.Namespace, settings: Settings) -> None:
    """Create the shop's tables where they are missing."""
    sink = _connect(settings)
    sink.create_schema()
    sink.close()
    emit("schema", schema="shop")


def seed(args: argparse.Namespace, settings: Settings) -> None:
    """Fill empty tables users and products; the same seed gives the same rows."""
    sink = _connect(settings)
    number = _seed(args, settings)
    drawn = pools.build(number)
    added = {}
    for table, count, build in (("users", args.users, entries.seeded_users), ("products", args.products, entries.seeded_products)):
        rows = [] if sink.has_rows(table) else build(number, drawn, sink.reserve_many(table, count))
        sink.insert_many(table, rows) if rows else None
        added[table] = len(rows)
    sink.settle()
    sink.close()
    emit("seeded", seed=number, added=added)


def run(args: argparse.Namespace, settings: Settings) -> None:
    """Run the live shop until SIGTERM, or for a given time."""
    control = Control(settings.control_dir)
    number = _seed(args, settings)
    rate = args.rate or arguments.rate(str(settings.rate))
    drawn = pools.build(number)

    def build(sink: PostgresSink) -> World:
        return World(number, drawn, sink.load(), sink.reserve, is_curved=args.curve)

    outbox = Writer(clicks.outbox_folder(settings))

    with control.lock():
        if args.rate:
            control.submit(rate=None)
        service = Service(control, rate, lambda: _connect(settings), build, outbox)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: service.stop())
        service.run(args.for_s)


def past(args: argparse.Namespace, settings: Settings) -> None:
    """Write simulated past days up to now, or continue where an earlier backfill ended."""
    control = Control(settings.control_dir)
    number = _seed(args, settings)
    if settings.is_live and not control.is_alive():
        # An order that is purged within the past days has a purchase event all the same.
        clicks.begin_outbox(settings)
    with control.lock():
        control.report(state="backfilling")
        sink = _connect(settings)
        snapshot = sink.load()
        now, began = datetime.now(UTC), time.monotonic()
        start = backfill.begin_at(now, args.days, snapshot.newest_at)
        world = World(number, pools.build(number), snapshot, sink.reserve, delays=REAL)

        def report_day(day: datetime, done: int) -> None:
            emit("day", day=day.date().isoformat(), ops=done, elapsed_s=round(time.monotonic() - began, 1))

        emit("backfill", start=start.isoformat(), end=now.isoformat(), goes_on=start == snapshot.newest_at)
        outbox = Writer(clicks.outbox_folder(settings))
        outbox.recover(sink)
        operations = backfill.past(world, start, now, args.orders_per_day)
        done = backfill.write(operations, lambda operation: outbox.commit(sink, operation), report_day)
        sink.settle()
        sink.close()
        emit("backfilled", ops=done, elapsed_s=round(time.monotonic() - began, 1))


def pause(_: argparse.Namespace, settings: Settings) -> None:
    """Stop the writes and the clicks; returns once the services confirm that no transaction is open and Kafka has every click."""
    _request(settings, "paused", is_paused=True)


def resume(_: argparse.Namespace, settings: Settings) -> None:
    """Resume the paused services."""
    _request(settings, "running", is_paused=False)


def rate(args: argparse.Namespace, settings: Settings) -> None:
    """Change the rate of the shop."""
    control = Control(settings.control_dir)
    control.submit(rate=args.rate)
    emit("rate", target=args.rate, state=control.status()["state"])


def status(_: argparse.Namespace, settings: Settings) -> None:
    """Print the state of the shop, and of its clicks, as one JSON object."""
    control = Control(settings.control_dir)
    visits = clicks.control_of(settings).status()
    print(json.dumps({**control.status(), "is_paused": control.request().is_paused, "clicks": visits}))


def _request(settings: Settings, state: str, *, is_paused: bool) -> None:
    control = Control(settings.control_dir)
    if control.status()["state"] == "backfilling":
        raise EbapError("a backfill is running", "wait until it ends, or stop it with Ctrl-C")
    status = control.wait_until_applied(control.submit(is_paused=is_paused), state, _PAUSE_LIMIT_S)
    emit(state if status["state"] == state else "noted", **{k: v for k, v in status.items() if k in ("state", "total_ops", "pid")})
    visits = clicks.control_of(settings)
    request = visits.submit(is_paused=is_paused)
    if is_paused:
        visits.wait_until_applied(request, state, _PAUSE_LIMIT_S)


def _connect(settings: Settings) -> PostgresSink:
    return PostgresSink(settings.shop_dsn, settings.secret("shop_owner"))


def _seed(args: argparse.Namespace, settings: Settings) -> int:
    return settings.seed if args.seed is None else args.seed


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = _OneLine(prog="python -m generator", description=__doc__, epilog=_EXIT_CODES)
    commands = main_parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_OneLine)

    def command(do: object, name: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=do.__doc__, description=do.__doc__)
        added.set_defaults(do=do)
        return added

    seeding, running, filling = command(seed, "seed"), command(run, "run"), command(past, "backfill")
    for one in (seeding, running, filling):
        one.add_argument("--seed", type=int, metavar="N", help="the same seed on the same database gives the same sequence")
    seeding.add_argument("--users", type=arguments.count, default=500, metavar="N", help="number of users (default %(default)s)")
    seeding.add_argument("--products", type=arguments.count, default=200, metavar="N", help="number of products (default %(default)s)")
    running.add_argument("--rate", type=arguments.rate, metavar="N", help="operations per second (default: EBAP_RATE)")
    running.add_argument("--for", dest="for_s", type=arguments.duration, metavar="TIME", help="duration, such as 90, 30s, 5m or 2h")
    running.add_argument("--curve", action="store_true", help="vary the mix of operations by hour and weekday, at the same rate")
    filling.add_argument("--days", type=arguments.count, required=True, metavar="N", help="number of days before now")
    filling.add_argument("--orders-per-day", type=arguments.count, default=80, metavar="N", help="orders per day (default %(default)s)")
    command(schema, "schema")
    command(pause, "pause")
    command(resume, "resume")
    command(rate, "rate").add_argument("rate", type=arguments.rate, metavar="N", help="operations per second")
    command(status, "status")
    clicks.add(command)
    return main_parser


if __name__ == "__main__":
    sys.exit(main())
