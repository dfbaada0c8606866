"""The machines' commands of `python -m lakehouse`, which finds them by the entry point in pyproject.toml."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from lakehouse.cli.command import Command
from lakehouse.settings import Settings


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


def _hold_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("duration", nargs="?", metavar="DURATION", help="90m, 2h, 1d (seven days at most), or off")


def _cost(_: argparse.Namespace, settings: Settings) -> int:
    from infra.nodes import cost

    print(cost.report(settings, datetime.now(UTC)))
    return 0


COMMANDS = (
    Command(
        name="hold",
        text="Keep the machines on for a while, whatever the clock says; without a duration, say whether they should run.",
        run=_hold,
        arguments=_hold_arguments,
    ),
    Command(
        name="cost",
        text="Say what the machines cost a month, three ways, and what the schedule saved so far.",
        run=_cost,
    ),
)
