"""A real browser for the tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


def launched() -> Iterator[Browser]:
    """Chromium of this machine; the test is skipped, with the cure, where there is none."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        pytest.skip("there is no chromium on the PATH: install it (Debian: apt-get install chromium) to see the pages in a browser")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()
