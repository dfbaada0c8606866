"""Policy over the docs as a whole: pages that are found, a README of one screen or two, a layout and a glossary that are true."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from infra.docs import layout
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT

DOCS = PROJECT / "infra" / "docs"
INDEX = DOCS / "README.md"
# What is generated speaks as the code does.
WRITTEN = [PROJECT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("how-to/*.md"), *(PROJECT / "infra" / "decisions").glob("*.md")]
WRITTEN = sorted(page for page in WRITTEN if page != PROJECT / layout.PAGE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
_TERM = re.compile(r"^- \*\*(.+?)\*\*: (.+?)$", re.MULTILINE)


def test_the_readme_fits_120_lines_and_shows_the_product() -> None:
    text = (PROJECT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    pictures = re.findall(r"!\[[^\]]{20,}\]\(([^)]+\.(?:png|webp))\)", text)
    assert pictures
    for picture in pictures:
        content = (PROJECT / picture).read_bytes()
        assert content.startswith((b"\x89PNG", b"RIFF")) and len(content) < 150_000


def test_the_readme_leads_to_the_index_and_the_index_to_every_page() -> None:
    assert INDEX in _linked(PROJECT / "README.md")
    pages = {path.resolve() for folder in (DOCS, PROJECT / "infra" / "decisions") for path in folder.rglob("*.md")}
    assert pages - {INDEX} <= _linked(INDEX)


def test_the_index_has_the_four_kinds_of_pages() -> None:
    headings = re.findall(r"^## (.+)$", INDEX.read_text(), re.MULTILINE)
    assert headings == ["Tutorial", "How-to guides", "Reference", "Explanation"]


def test_the_page_of_the_layout_is_as_the_code_says() -> None:
    assert (PROJECT / layout.PAGE).read_text() == layout.page(), "run `make generated`"


def test_the_layout_names_every_folder_with_python_in_it() -> None:
    shown = set(layout.folders(PROJECT))
    for root in layout.ROOTS:
        for path in (PROJECT / root).rglob("*.py"):
            assert path.parent.relative_to(PROJECT).as_posix() in shown, path


def test_a_module_without_a_sentence_and_a_folder_without_a_line_are_refused(tmp_path: Path) -> None:
    for root in layout.ROOTS:
        shutil.copytree(PROJECT / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__"))
    assert layout.page(tmp_path) == layout.page()
    (tmp_path / "plugins" / "more.py").write_text("X = 1\n")
    with pytest.raises(EbapError, match=r"more\.py"):
        layout.page(tmp_path)
    (tmp_path / "plugins" / "more.py").unlink()
    (tmp_path / "infra" / "other").mkdir()
    (tmp_path / "infra" / "other" / "made.py").write_text('"""Something."""\n')
    with pytest.raises(EbapError, match="infra/other"):
        layout.page(tmp_path)
    shutil.rmtree(tmp_path / "infra" / "other")
    shutil.rmtree(tmp_path / "tests" / "bench")
    with pytest.raises(EbapError, match="tests/bench"):
        layout.page(tmp_path)


def test_the_glossary_is_short_sorted_and_complete_sentences() -> None:
    text = (DOCS / "glossary.md").read_text()
    terms = _TERM.findall(re.sub(r"\n  +", " ", text))
    assert len(terms) == text.count("\n- ")
    names = [name for name, _ in terms]
    assert len(set(names)) == len(names) <= 40
    assert names == sorted(names, key=str.casefold)
    assert [name for name, meaning in terms if not meaning.endswith((".", ".)"))] == []


def test_every_term_of_the_glossary_is_used() -> None:
    pages = [path for path in (PROJECT / "README.md", *DOCS.rglob("*.md")) if path.name != "glossary.md"]
    code = [path for folder in ("spark_apps", "dags", "plugins", "dashboards") for path in (PROJECT / folder).rglob("*.py")]
    text = "\n".join(path.read_text() for path in (*pages, *code)).casefold()
    names = [name for name, _ in _TERM.findall((DOCS / "glossary.md").read_text())]
    assert names
    assert [name for name in names if not _is_used(name, text)] == []


def test_a_term_that_nothing_uses_would_be_found() -> None:
    assert _is_used("Dead letter", "a table of dead\nletters")
    assert not _is_used("Dead letter", "a table of undead letters")


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_no_page_speaks_a_language_of_its_own(page: Path) -> None:
    assert _private_words(page.read_text()) == []


def test_a_private_word_would_be_found_and_a_name_in_code_is_none() -> None:
    assert _private_words("The fence tells\nno news of `ghosts`.") == ["fence", "tells", "news"]


def _private_words(text: str) -> list[str]:
    """Words that the glossary's terms have replaced, outside of code."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\b(fences?|ghosts?|news|tells?|told|verbs?)\b", prose, re.IGNORECASE)


def _is_used(name: str, text: str) -> bool:
    """Whether the term stands in the text, perhaps with an ending; its space may be a line end or an underscore there."""
    words = map(re.escape, name.casefold().split())
    return re.search(r"\b" + r"[\s_]+".join(words), text) is not None


def _linked(page: Path) -> set[Path]:
    return {(page.parent / link).resolve() for link in _LINK.findall(page.read_text())}
