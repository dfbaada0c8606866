"""What the docs say exists: files they link to, commands they name, error texts they explain."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "infra" / "docs").glob("*.md")), *sorted((PROJECT / "infra" / "decisions").glob("*.md"))]
PAGES.append(PROJECT / "dashboards" / "metabase" / "README.md")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
_MAKE = re.compile(r"(?:`|^|\$ )make ((?:[a-z]+)(?:(?= )|(?=`)|$))", re.MULTILINE)
_LAKEHOUSE = re.compile(r"python -m lakehouse ([a-z]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(_MAKE.findall(page.read_text())) <= targets
    shown = subprocess.run([sys.executable, "-m", "lakehouse", "--help"], capture_output=True, text=True, check=True).stdout
    assert set(_LAKEHOUSE.findall(page.read_text())) <= set(re.findall(r"^ {4}([a-z]+)\b", shown, re.MULTILINE))


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
