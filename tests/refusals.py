"""Errors with a known cause in tests: by what they name, not by their sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lakehouse.errors import EbapError


@contextmanager
def refused(*named: str, cure: str = "", kind: type[EbapError] = EbapError, is_retryable: bool = False) -> Iterator[None]:
    """The block raises an error of that kind whose `what` names these things, and whose `cure` has that text."""
    with pytest.raises(kind) as caught:
        yield
    missing = [name for name in named if name not in caught.value.what]
    assert not missing, f"{missing} in {caught.value}"
    assert cure in caught.value.cure, caught.value
    assert caught.value.is_retryable is is_retryable, caught.value
