"""Commands for the scripts `start` and `stop` beside this file: machines in order (`list`), and whether one's services answer (`wait`)."""

from __future__ import annotations

import argparse
import sys

from infra import nodes
from infra.nodes import answers, plan
from lakehouse import process, wait
from lakehouse.errors import SettingsError, exit_code_of
from lakehouse.settings import Settings

_WITHIN_S = 480
_POLL_S = 2.0


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    if not settings.gcp_project:
        raise SettingsError(plan.NO_PROJECT)
    chosen = nodes.in_stop_order(settings) if arguments.reverse else nodes.in_start_order(settings)
    for node in chosen:
        print(node.name, settings.gcp_project, settings.gcp_zone)
    return 0


def _wait(settings: Settings, arguments: argparse.Namespace) -> int:
    """Wait until every service of that machine responds; after eight minutes print its state and return 1."""
    node = next((node for node in nodes.in_start_order(settings) if node.name == arguments.name), None)
    if node is None:
        raise SettingsError(f"EBAP_NODES has no {arguments.name}")
    for _ in wait.looks(arguments.within, every_s=_POLL_S):
        missing = answers.missing(settings, node)
        if not missing:
            print(f"{node.name} answers")
            return 0
    print(f"error   {node.name} runs, but {'; '.join(missing)}", file=sys.stderr)
    return 1


def main() -> int:
    """Run one command; an invalid setting is reported as one line on standard error."""
    parser = argparse.ArgumentParser(prog="python infra/nodes", description=__doc__)
    commands = parser.add_subparsers(required=True)
    listed = commands.add_parser("list")
    listed.add_argument("--reverse", action="store_true")
    listed.set_defaults(run=_list)
    waited = commands.add_parser("wait")
    waited.add_argument("name")
    waited.add_argument("--within", type=float, default=_WITHIN_S)
    waited.set_defaults(run=_wait)
    arguments = parser.parse_args()
    return exit_code_of("error  ", lambda: arguments.run(process.begin(), arguments))
