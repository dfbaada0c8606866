"""A browser for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from lakehouse.settings import Settings


def launched() -> Iterator[Browser]:
    """The locally installed Chromium; skips the test, with the cure, if there is none."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if not path:
        pytest.skip("there is no chromium on the PATH: install it (Debian: apt-get install chromium) to see the pages in a browser")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()


def serious(page: Page, settings: Settings) -> list[str]:
    """The accessibility violations that axe rates as serious or critical."""
    axe = settings.home_dir / "venv" / "dev" / "node_modules" / "axe-core" / "axe.min.js"
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")]
