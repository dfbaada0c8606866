"""`python -m infra.local`: start, inspect, stop and remove the platform on this machine."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from infra.install import doctor, halves, java
from infra.local import demo, screen, stages, status, supervision, wiping
from infra.services import needed, runs, service, steps, waves
from infra.services.step import Service, Step
from lakehouse import process
from lakehouse.errors import EbapError, exit_code_of
from lakehouse.settings import Settings

_EXIT_CODES = "Exits with 0 when done, 1 with the reason on standard error, 130 after Ctrl-C."


def up(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Start everything, or the named steps and their dependencies; running services are not restarted."""
    return _start(settings, console, needed(settings, parsed.names) if parsed.names else steps(settings))


def run_demo(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Start everything, write the simulated past, wait for gold, print the addresses."""
    began = time.monotonic()
    supervisor = supervision.find(settings)
    # Concurrent writers would sell the same units: the past is written before present traffic, as soon as it can be captured.
    for step in steps(settings):
        if step.name == "generator" and supervisor and isinstance(step, Service):
            supervision.stop(settings, supervisor, step)
    wanted = demo.with_the_past(settings, steps(settings))
    # The live half starts once gold is filled: beside it, both would take twice as long.
    live = {step.name for step in wanted if step.is_live}
    first, rest = ([step for step in wanted if (step.name in live) is is_live] for is_live in (False, True))
    failed = _start(settings, console, first)
    if failed:
        return failed
    demo.fill_gold(settings, console)
    if rest:
        stages.run(settings, supervision.ensure(settings), [replace(step, after=_within(step, live)) for step in rest], console)
    demo.end_card(settings, console, time.monotonic() - began)
    return 0


def add_live(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Switch the live half on and start what is missing; the warm server is restarted if it was started without it."""
    halves.switch_on(settings)
    supervisor = supervision.find(settings)
    started_at = runs.read(settings, "spark").started_at
    if supervisor and started_at and started_at.timestamp() < settings.live_choice.stat().st_mtime:
        supervision.stop(settings, supervisor, service(settings, "spark"))
    return _start(settings, console, steps(settings))


def start_metabase(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Start the fetched Metabase; does nothing if the settings name another."""
    return 0 if settings.metabase_url else _start(settings, console, needed(settings, ["metabase", "spark"]))


def down(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Stop everything; data stays."""
    supervisor = supervision.find(settings)
    if supervisor is None:
        console.print("nothing runs")
        return 0
    began = time.monotonic()
    declared = {step.name: step for step in steps(settings)}
    groups = reversed(waves({name: step.after for name, step in declared.items()}))
    supervision.end(settings, supervisor, [[step for name in group if isinstance(step := declared[name], Service)] for group in groups])
    console.print(f"[green]✓[/] stopped{time.monotonic() - began:23.1f} s")
    return 0


def show_status(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Services, endpoints and tables."""
    answer = status.collect(settings)
    if parsed.json:
        print(json.dumps(answer, default=str))
    else:
        screen.show(answer, console, datetime.now(UTC))
    return 0


def examine(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Check this machine: Java, Python, ports, memory, disk."""
    return _doctor(settings, console, is_brief=False)


def logs(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Show the end of a log and follow it."""
    known = [step.name for step in steps(settings)]
    if parsed.name not in known:
        raise EbapError(f"there is no service {parsed.name!r}", f"it is one of {', '.join(known)}")
    path = stages.log_file(settings, parsed.name)
    if not path.exists():
        raise EbapError(f"{parsed.name} has no log yet: {path} does not exist")
    if not sys.stdout.isatty():
        print(stages.last_lines(path, 200))
        return 0
    return subprocess.run(["tail", "-n", "200", "-F", str(path)]).returncode


def restart(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Stop one service and start it again, with the settings of now."""
    if supervision.find(settings) is None:
        raise EbapError("nothing runs", "`make up` starts everything")
    supervisor = supervision.ensure(settings)
    found = service(settings, parsed.name)
    supervision.stop(settings, supervisor, found)
    stages.run(settings, supervisor, [_without_conditions(found)], console)
    return 0


def wipe(parsed: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Stop everything and remove its data; with --cache its downloads too."""
    down(parsed, settings, console)
    wiping.wipe(settings, parsed.cache, console)
    return 0


def _start(settings: Settings, console: Console, wanted: list[Step]) -> int:
    began = time.monotonic()
    if _doctor(settings, console, is_brief=True):
        return 1
    what = "both halves" if settings.is_live else "the change-data half"
    needs = f"about {halves.memory_mb(settings):,} MB of memory, up to {halves.disk_mb(settings):,} MB of disk"
    console.print(f"starting {what} in {settings.home_dir}: {needs}")
    java.link(settings)
    for folder in ("data", "lake", "logs", "control", "tmp"):
        (settings.home_dir / folder).mkdir(parents=True, exist_ok=True)
    took = stages.run(settings, supervision.ensure(settings), wanted, console)
    console.print(f"[green]✓[/] {'all ready':<24}{time.monotonic() - began:6.1f} s")
    stages.show_timeline(took, console)
    return 0


def _doctor(settings: Settings, console: Console, *, is_brief: bool) -> int:
    findings = doctor.check(settings)
    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    for finding in findings:
        if finding.level != "ok" or not is_brief:
            console.print(f"[{colours[finding.level]}]{finding.level:<8}[/]{finding.text}", highlight=False, soft_wrap=True)
    return int(any(finding.is_error for finding in findings))


def _within(step: Step, names: Collection[str]) -> tuple[str, ...]:
    """The dependencies that are among these; the others are up already."""
    return tuple(name for name in step.after if name in names)


def _without_conditions(step: Step) -> Step:
    """The step without its dependencies, which are up already."""
    return replace(step, after=())


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    root = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__, epilog=_EXIT_CODES)
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    for name, do in {
        "up": up,
        "demo": run_demo,
        "live": add_live,
        "metabase": start_metabase,
        "down": down,
        "status": show_status,
        "doctor": examine,
    }.items():
        commands.add_parser(name, help=do.__doc__).set_defaults(do=do)
    commands.choices["up"].add_argument("names", nargs="*", metavar="STEP", help="only these services and steps, and their dependencies")
    commands.choices["status"].add_argument("--json", action="store_true", help="one JSON object")
    for name, do in {"logs": logs, "restart": restart}.items():
        added = commands.add_parser(name, help=do.__doc__)
        added.add_argument("name", metavar="SERVICE")
        added.set_defaults(do=do)
    added = commands.add_parser("wipe", help=wipe.__doc__)
    added.add_argument("--cache", action="store_true", help="also environments, jars and downloads")
    added.set_defaults(do=wipe)
    return root


def main() -> int:
    """Run one command; 0, or 1 with the reason on standard error."""
    parsed = parser().parse_args()
    errors = Console(stderr=True)
    try:
        return exit_code_of(
            "[red]error[/]  ",
            lambda: parsed.do(parsed, process.begin(), Console()),
            failed=1,
            report=partial(errors.print, highlight=False, soft_wrap=True, markup=True),
        )
    except KeyboardInterrupt:
        errors.print("interrupted: started services keep running; `make down` stops them")
        return 130


if __name__ == "__main__":
    sys.exit(main())
