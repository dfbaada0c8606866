"""What the docs name exists: files they link to, commands, settings and paths in them, error texts they explain."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.docs import commands
from lakehouse import settings, tables
from lakehouse.cli.docs import DICTIONARY
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT

DOCS = PROJECT / "infra" / "docs"
DECISIONS = sorted((PROJECT / "infra" / "decisions").glob("*.md"))
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")), *DECISIONS]
PAGES += [PROJECT / "dashboards" / "metabase" / "README.md", PROJECT / DICTIONARY]
# A path in the docs is one of the project, or shortened to what is beyond one of these.
_BASES = ("", "spark_apps", "spark_apps/lakehouse", "spark_apps/lakehouse/tables", "infra/docs")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
_ANCHOR = re.compile(r"\]\((?!https?:)([^)#]*)#([^)]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MAKE = re.compile(r"(?:`|^|\$ )make (?:-s )?((?:[a-z-]+)(?:(?= )|(?=`)|$))", re.MULTILINE)
_PROGRAM = re.compile(r"python -m ([a-z_]+(?:\.[a-z_]+)*)(?: ([a-z][a-z-]*))?")
_SHELL = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(r"\bEBAP_[A-Z_]*[A-Z]\b(?!…)")
_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+)`")
# Made by the installer and at the first start; and what is a role of Google and no path.
_ELSEWHERE = (".ebap/", "./.ebap", "EBAP_HOME/", "_checkpoints/", "roles/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_a_page_meets_a_heading(page: Path) -> None:
    for link, anchor in _ANCHOR.findall(page.read_text()):
        headings = _HEADING.findall((page.parent / link if link else page).read_text())
        assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(_MAKE.findall(page.read_text())) <= targets
    known = {parser.prog.removeprefix("python -m "): commands.commands(parser) for parser in commands.parsers()}
    for program, command in _PROGRAM.findall(page.read_text()):
        assert find_spec(program), program
        assert not command or not known.get(program) or command in known[program], f"{program} {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_block_is_one_that_its_parser_takes(page: Path) -> None:
    for block in _SHELL.findall(page.read_text()):
        for line in block.splitlines():
            assert not (refusal := _refused(line)), refusal


def test_a_command_with_wrong_arguments_is_refused() -> None:
    assert _refused("python -m lakehouse rebuild users --hours 3")
    assert _refused("python -m generator rate none")
    assert _refused("docker compose exec boards python -m lakehouse sql")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_is_there(page: Path) -> None:
    assert set(_SETTING.findall(page.read_text())) <= {variable for variable, *_ in settings.listing()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_is_there(page: Path) -> None:
    paths = [path for path in _PATH.findall(page.read_text()) if "." in path.rpartition("/")[2] and not path.startswith(_ELSEWHERE)]
    assert [path for path in paths if not any((PROJECT / base / path).exists() for base in _BASES)] == []


def test_the_page_of_commands_is_as_the_code_says() -> None:
    assert (PROJECT / commands.PAGE).read_text() == commands.page(), "run `make generated`"


def test_every_program_has_its_section_with_every_command_and_how_it_ends() -> None:
    text = commands.page()
    for parser in commands.parsers():
        section = text.partition(f"## {parser.prog}\n")[2].partition("\n## ")[0]
        assert set(re.findall(r"^\| `([a-z-]+)", section, re.MULTILINE)) == set(commands.commands(parser))
        assert "Exits with 0" in section, parser.prog


def test_every_message_of_the_troubleshooting_page_is_a_text_of_ours() -> None:
    rows = re.findall(r"^\| `([^`]+)`", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(rows) >= 10
    assert [row for row in rows if not _is_said(row)] == []


def test_a_message_that_no_text_of_ours_is_would_be_found() -> None:
    assert _is_said("nothing answers on the Thrift port …")
    # Each of its parts stands in some text.
    assert not _is_said("there is no … behind its …")
    assert not _is_said("nothing answers on the Thrift part …")


def _refused(line: str) -> str:
    """What the parser of the line's program says against its arguments; empty where it takes them or the line runs no such program."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a quote that ends on a later line: a program's text, no command of ours
        return ""
    parsers = {parser.prog.removeprefix("python -m "): parser for parser in commands.parsers()}
    at = next((i for i in range(2, len(words)) if words[i - 2 : i] == ["python", "-m"]), 0)
    program = words[at] if at else ""
    if program not in parsers:
        return ""
    given = [tables.SOURCES[0].name if word == "TABLE" else word for word in words[at + 1 :]]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsers[program].parse_args(given)
    except (SystemExit, EbapError) as error:
        return f"{line}: {said.getvalue() or error}"
    return ""


@cache
def _texts() -> tuple[str, ...]:
    """Every text in the code as people see it, with … for what is filled in."""
    found: set[str] = set()
    for path in (path for folder in ("spark_apps", "infra", "dashboards", "plugins") for path in (PROJECT / folder).rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found.update(text for node in nodes if id(node) not in docstrings and (text := _template(node)))
    texts = (re.sub(r"\{\w*\}|%[sd]", "…", text) for text in sorted(found))
    return (*texts, *(PROJECT / "Makefile").read_text().splitlines())


def _template(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) or "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _template(node.left), _template(node.right)
        return None if left is None and right is None else f"{left or '…'}{right or '…'}"
    if isinstance(node, ast.Call) and len(node.args) > 1 and ast.unparse(node.func).endswith("Error"):
        # The one line of an error: what happened, and the cure.
        return ": ".join(_template(part) or "…" for part in node.args[:2])
    return None


def _is_said(row: str) -> bool:
    """Whether one text holds the row, all of it in order; its … stand for anything."""
    pattern = re.compile(".*".join(map(re.escape, row.split("…"))), re.DOTALL)
    return any(pattern.search(text) for text in _texts())
