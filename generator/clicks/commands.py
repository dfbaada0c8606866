"""The commands of the clicks: `python -m generator clicks`, `eps`, `chaos`, `ledger` and `visits`."""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

from generator import arguments
from generator.clicks import past, sender
from generator.clicks.chaos import Chaos, parse
from generator.clicks.events import EVENTS_TOPIC, TELEMETRY_TOPIC
from generator.clicks.journeys import Journeys
from generator.clicks.outbox import Reader
from generator.clicks.service import Clicks
from generator.clicks.traffic import Traffic
from generator.clicks.visitors import Account, Visitors
from generator.control import Control, write_json
from generator.report import emit
from generator.sink import LostConnectionError, PostgresSink
from lakehouse.settings import Settings

_BARRIER_S = 15.0


def outbox_folder(settings: Settings) -> Path:
    """Folder of the outbox of purchases."""
    return settings.control_dir / "purchases"


def control_of(settings: Settings) -> Control:
    """The control files of the clicks."""
    return Control(settings.control_dir, "clicks")


def run(args: argparse.Namespace, settings: Settings) -> None:
    """Send the visits of the shop to Kafka until SIGTERM, or for a given time."""
    control = control_of(settings)
    visitors = Visitors(settings.seed, [], [])
    # Another stream at each start: the same one would repeat events.
    journeys = Journeys(settings.seed, visitors, stream=time.time_ns())
    traffic = Traffic(settings.seed, journeys, Chaos(settings.seed, settings.max_event_kb * 1024))
    with control.lock():
        begin_outbox(settings)
        _renew(settings, visitors)
        service = Clicks(
            control,
            settings.eps,
            traffic,
            connect=lambda: sender.connect(settings, (EVENTS_TOPIC, TELEMETRY_TOPIC)),
            renew=lambda: _renew_if_possible(settings, visitors),
            outbox_folder=outbox_folder(settings),
            ledger_path=settings.ledger,
        )
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: service.stop())
        service.run(args.for_s)


def eps(args: argparse.Namespace, settings: Settings) -> None:
    """Change the rate of the clicks."""
    control = control_of(settings)
    control.submit(rate=args.eps)
    emit("eps", target=args.eps, state=control.status()["state"])


def chaos(args: argparse.Namespace, settings: Settings) -> None:
    """Set the rates of faults, end all with `off`, or print them; faults that are not named keep their rate."""
    control = control_of(settings)
    before = control.request().faults
    if args.faults == ["off"]:
        control.submit(faults={})
    elif args.faults:
        rates = parse(f"{name}={rate}" for name, rate in (before | parse(args.faults)).items())
        control.submit(faults={name: rate for name, rate in rates.items() if rate})
    print(json.dumps(control.request().faults))


def ledger(args: argparse.Namespace, settings: Settings) -> None:
    """Keep a ledger of what is sent, or stop it; prints its file."""
    control_of(settings).submit(has_ledger=args.switch == "on")
    print(settings.ledger)


def visits(args: argparse.Namespace, settings: Settings) -> None:
    """Write the visits of past days, with those of all past orders, as a file a day; a day's file that exists stays."""
    begin_outbox(settings)
    outbox = Reader(outbox_folder(settings))
    with nullcontext() if outbox.has_sent else control_of(settings).lock():
        sink = _connect(settings)
        visitors = Visitors(settings.seed, map(Account._make, sink.homes()), sink.product_ids())
        purchases = sink.purchases(_past_to(settings)) + outbox.to_file()
        sink.close()
        until = datetime.now(UTC)
        start = datetime.combine(until.date() - timedelta(days=args.days), datetime.min.time(), UTC)
        folder = Path(args.folder) if args.folder else settings.home_dir / "data" / "visits"
        written = past.write(folder, settings.seed, visitors, purchases, start, until, args.per_day)
        outbox.filed()
    emit("visits", folder=str(folder), files=len(written), purchases=len(purchases))


def add(command: Callable[[object, str], argparse.ArgumentParser]) -> None:
    """Add these commands to the command line."""
    command(run, "clicks").add_argument(
        "--for", dest="for_s", type=arguments.duration, metavar="TIME", help="duration, such as 90, 30s, 5m or 2h"
    )
    command(eps, "eps").add_argument("eps", type=arguments.eps, metavar="N", help="events per second")
    command(chaos, "chaos").add_argument("faults", nargs="*", metavar="FAULT=RATE", help="such as late=0.05, or off")
    command(ledger, "ledger").add_argument("switch", choices=("on", "off"))
    writing = command(visits, "visits")
    writing.add_argument("--days", type=arguments.count, required=True, metavar="N", help="number of days before today")
    writing.add_argument(
        "--per-day", type=arguments.count, default=150, metavar="N", help="visits a day that buy nothing (default %(default)s)"
    )
    writing.add_argument("--folder", metavar="PATH", help="folder of the files (default: data/visits under EBAP_HOME)")


def begin_outbox(settings: Settings) -> None:
    """From here on every order is in the outbox; those before are of the past."""
    file = outbox_folder(settings) / "past.json"
    if file.exists():
        return
    reader = Reader(outbox_folder(settings))
    shop = Control(settings.control_dir)
    if shop.is_alive():
        # Once the shop has seen a request, an order that it began before is committed.
        shop.wait_until_applied(shop.submit(), None, _BARRIER_S)
    sink = _connect(settings)
    write_json(file, {"past_to": sink.newest_order(reader.first_order())})
    sink.close()


def _past_to(settings: Settings) -> int:
    return json.loads((outbox_folder(settings) / "past.json").read_text())["past_to"]


def _renew(settings: Settings, visitors: Visitors) -> None:
    sink = _connect(settings)
    visitors.renew(map(Account._make, sink.homes()), sink.product_ids())
    sink.close()


def _renew_if_possible(settings: Settings, visitors: Visitors) -> None:
    try:
        _renew(settings, visitors)
    except LostConnectionError as error:
        emit("kept", error=error.what, cure="the users and products that were read before are used until Postgres is available")


def _connect(settings: Settings) -> PostgresSink:
    return PostgresSink(settings.shop_dsn, settings.secret("shop_owner"))
