"""What the docs say exists: files they link to, commands they name, error texts they explain."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.docs import commands
from lakehouse.cli.docs import DICTIONARY
from lakehouse.settings import PROJECT

PAGES = [
    PROJECT / "README.md",
    *sorted((PROJECT / "infra" / "docs").rglob("*.md")),
    *sorted((PROJECT / "infra" / "decisions").glob("*.md")),
]
PAGES += [PROJECT / "dashboards" / "metabase" / "README.md", PROJECT / DICTIONARY]
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
_ANCHOR = re.compile(r"\]\((?!https?:)([^)#]*)#([^)]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MAKE = re.compile(r"(?:`|^|\$ )make ((?:[a-z-]+)(?:(?= )|(?=`)|$))", re.MULTILINE)
_PROGRAM = re.compile(r"python -m ([a-z_]+(?:\.[a-z_]+)*)(?: ([a-z][a-z-]*))?")


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


def test_the_page_of_commands_is_as_the_code_says() -> None:
    assert (PROJECT / commands.PAGE).read_text() == commands.page(), "run `make generated`"


def test_every_program_has_its_section_with_every_command_and_how_it_ends() -> None:
    text = commands.page()
    for parser in commands.parsers():
        section = text.partition(f"## {parser.prog}\n")[2].partition("\n## ")[0]
        assert set(re.findall(r"^\| `([a-z-]+)", section, re.MULTILINE)) == set(commands.commands(parser))
        assert "Exits with 0" in section, parser.prog


def test_every_error_text_of_the_troubleshooting_page_is_one_of_ours() -> None:
    rows = re.findall(r"^\| `([^`]+)`", (PROJECT / "infra" / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    assert len(rows) >= 10
    code = "\n".join(
        path.read_text() for folder in ("spark_apps", "infra", "dashboards", "plugins") for path in (PROJECT / folder).rglob("*.py")
    )
    # Code breaks its texts over lines: quotes, line ends and names in braces are nothing to a reader.
    code = re.sub(r'"\s*\n\s*f?"', "", code) + (PROJECT / "Makefile").read_text()
    for text in rows:
        parts = [part.strip(" :") for part in text.split("…") if len(part.strip(" :?")) > 2]
        assert parts, text
        assert [part for part in parts if part not in code] == [], text
