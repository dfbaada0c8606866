"""The product's code speaks the field's language: words that were replaced by standard terms do not come back."""

from __future__ import annotations

import io
import re
import tokenize

from infra.docs import layout
from lakehouse.settings import PROJECT

# Replaced by: change, report or record, platform tables, replacement, catch-up. A ledger is the one of the clicks, and nothing else.
_REPLACED = re.compile(r"\b(news|tells?|told|bookkeeping|swaps?|fenced?)\b", re.IGNORECASE)
_FORMER_NAMES = {'"fence"'}  # the alias of `catch-up`


def test_no_text_of_the_product_uses_a_replaced_word() -> None:
    files = [path for root in layout.ROOTS if root != "tests" for path in (PROJECT / root).rglob("*.py")]
    assert len(files) > 100
    assert [f"{path}: {word}" for path in files for word in _replaced_words(path.read_text())] == []


def test_a_replaced_word_in_a_comment_or_a_text_would_be_found() -> None:
    assert _replaced_words('x = 1  # nobody is told\ny = f"{x} tells"\nnews = "a"\n') == ["told", "tells"]


def _replaced_words(source: str) -> list[str]:
    """Replaced words in the comments and texts of Python source, in order."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts = [token.string for token in tokens if token.type in (tokenize.COMMENT, tokenize.STRING) and token.string not in _FORMER_NAMES]
    return [word for text in texts for word in _REPLACED.findall(text)]
