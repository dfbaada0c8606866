"""The reference of commands, from the Makefile, the argument parsers and the apps' docstrings: `python -m infra.docs.commands`.

It stands here and not beside the data dictionary because it reads every folder's parsers, which `lakehouse` must not import.
A test fails where the page differs from what this module writes.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from lakehouse.cli.docs import grid
from lakehouse.settings import PROJECT
from lakehouse.verbs import SUBMITTED

PAGE = Path("infra/docs/reference/commands.md")
# In the order in which a reader is likely to need them; each module has `parser()`.
PROGRAMS = (
    "lakehouse.cli.main",
    "generator.__main__",
    "infra.local.__main__",
    "dashboards.metabase.provision",
)
# Passes its arguments on to Airflow's own command.
_AIRFLOW = Path("infra/airflow/__main__.py")
_TARGET = re.compile(r"^([a-z-]+):.*?## (.*)$", re.MULTILINE)
# An app's docstring is its runbook: after the first paragraph, lines that begin with "Runs: " and the like.
_HEADED = re.compile(r"^([A-Z][a-z ]+): ", re.MULTILINE)

_INTRODUCTION = """# Commands

Every command, generated from the Makefile, the argument parsers and the apps' docstrings by `make generated`: change those, not
this page.

`make` covers daily use. The other commands need the environment: `source .ebap/venv/main/bin/activate`, then run them in the project's
folder. Programs show their arguments with `--help`, and exit with 2 for wrong ones. All take [the settings](settings.md).
"""

_APPS = """## Spark apps

The programs under `spark_apps`, which the platform runs by itself. `python spark_apps/APP.py` runs a batch app over the warm Spark server;
the line that `python -m lakehouse submit APP` prints runs any app in a JVM of its own, which is the only way for `land` and `activity`. An
app exits with 0 when done, 1 with the reason.
"""


def page() -> str:
    """The reference of commands as Markdown."""
    return "\n".join([_INTRODUCTION, _make(), *map(_program, parsers()), _APPS, *map(_app, SUBMITTED), _airflow()])


def parsers() -> list[argparse.ArgumentParser]:
    """The parser of every program, in the page's order."""
    made = (importlib.import_module(name).parser() for name in PROGRAMS)
    return list(made)


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each subcommand by its name; empty where there are none."""
    return {name: made for action in _subcommands(parser) for name, made in action.choices.items()}


def _make() -> str:
    rows = [(f"`make {name}`", text) for name, text in _TARGET.findall((PROJECT / "Makefile").read_text())]
    return "## make\n\n" + grid(("Command", "What it does"), rows)


def _program(parser: argparse.ArgumentParser) -> str:
    # A module's docstring begins with the command, which is the heading here.
    about = (parser.description or "").removeprefix(f"`{parser.prog}`: ")
    shown = grid(("Command", "What it does"), _rows("", "", parser))
    return f"## {parser.prog}\n\n{about[:1].upper()}{about[1:]}\n\n{shown}\n{parser.epilog}\n"


def _rows(name: str, what: str, parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """The command's row, or those of its own commands."""
    about = {choice.dest: choice.help or "" for action in _subcommands(parser) for choice in action._choices_actions}
    if not about:
        return [_row(name, what, parser)]
    return [row for own, made in commands(parser).items() for row in _rows(f"{name} {own}".strip(), about[own], made)]


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _row(name: str, what: str, parser: argparse.ArgumentParser) -> tuple[str, str]:
    arguments = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    explained = [f"`{_word(action)}`: {action.help % vars(action)}." for action in arguments if action.help]
    usage = " ".join([name, *(_usage(action) for action in arguments)]).strip()
    return f"`{usage}`", " ".join([what, *explained]).strip()


def _word(action: argparse.Action) -> str:
    """The argument as it is typed: its option, or the name of its value."""
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    return " ".join(word for word in (*action.option_strings[-1:], value) if word)


def _usage(action: argparse.Action) -> str:
    is_optional = not action.required or action.nargs == "*"
    word = _word(action) + (" ..." if action.nargs == "*" else "")
    return f"[{word}]" if is_optional else word


def _app(name: str) -> str:
    about, _, rest = _docstring(Path("spark_apps") / f"{name}.py").partition("\n\n")
    return f"### {name}\n\n{about}\n\n{_HEADED.sub(r'- **' + chr(92) + r'1**: ', rest)}\n"


def _airflow() -> str:
    return f"## python -m infra.airflow\n\n{_docstring(_AIRFLOW)}\n"


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse((PROJECT / path).read_text())) or ""


if __name__ == "__main__":
    (PROJECT / PAGE).write_text(page())
