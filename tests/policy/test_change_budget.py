"""How many files a change touches: each is made in a scratch copy of the project, where everything generated follows and the checks run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lakehouse.settings import PROJECT

pytestmark = pytest.mark.many  # half a minute

_FOLDERS = ("dags", "dashboards", "generator", "infra", "plugins", "spark_apps", "tests")
_FILES = ("Makefile", "README.md", "docker-compose.yaml", ".env.example", "pyproject.toml")

_SOURCE = '''"""`reviews`: what buyers say."""

from lakehouse.contract import Column, History, Table

TABLE = Table(
    name="reviews",
    doc="What buyers say of a product.",
    grain="one row per review",
    key=("review_id",),
    history=History.FULL,
    owner="order-desk",
    max_age_s=300,
    columns=(
        Column(name="review_id", type="BIGINT", doc="The review's number."),
        Column(name="product_id", type="BIGINT", doc="The product."),
        Column(name="stars", type="INT", doc="One to five."),
    ),
)
'''
_GOLD = '''"""`basket_sizes`: how many lines orders have."""

from lakehouse.contract import Column, Layer, Table

TABLE = Table(
    name="basket_sizes",
    doc="How many lines orders have.",
    grain="one row per order",
    key=("order_id",),
    layer=Layer.GOLD,
    inputs=("order_items",),
    owner="order-desk",
    max_age_s=600,
    columns=(
        Column(name="order_id", type="BIGINT", doc="The order."),
        Column(name="lines", type="BIGINT", doc="Its lines."),
    ),
)
'''
_GOLD_SQL = """-- Lines of each order.
SELECT order_id, count(*) AS lines FROM silver.order_items GROUP BY order_id
"""
_SERVER = '''"""An echo server."""

from infra.services import probing
from infra.services.step import Service, python


def answers(settings):
    """The port is open."""
    probing.listens(settings.bind, settings.echo_port)


STEPS = (
    Service(
        name="echo",
        doc="An echo server.",
        command=python("-m", "echo"),
        probe=answers,
        memory_mb=lambda settings: 64,
        url=lambda settings: f"tcp://{settings.public_host}:{settings.echo_port}",
        published=("echo_port",),
        after=("kafka",),
    ),
)
'''
_APP = '''"""Count changes as they come.

Does: nothing yet.
"""

from lakehouse.bronze import pulse

if __name__ == "__main__":
    pulse.main()
'''
_APP_MODULE = '''"""Count changes as they come."""


def main() -> None:
    """Count until a stop request."""
'''
_APP_ENTRY = """        StreamingApp(
            name="pulse",
            doc="The streaming app that counts changes.",
            heap_mb=lambda settings: 256,
            target=lambda settings: f"{settings.lake_root}/bronze/pulse",
        ),
"""


class Copy:
    """A copy of the project, and what was written into it by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: list[str] = []
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", ".mypy_cache")
        for name in _FOLDERS:
            shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
        for name in _FILES:
            shutil.copy(PROJECT / name, folder / name)

    def add(self, path: str, text: str) -> None:
        """A new file."""
        (self.folder / path).write_text(text)
        self.touched.append(path)

    def insert(self, path: str, before: str, text: str) -> None:
        """An entry of an existing list, before its marked place."""
        file = self.folder / path
        known = file.read_text()
        assert known.count(before) == 1, f"{path} has no place for it"
        file.write_text(known.replace(before, text + before))
        self.touched.append(path)

    def run(self, *argv: str) -> str:
        """What a Python of the copy prints; it must end with 0."""
        # It is installed in no environment.
        environ = {**os.environ, "PYTHONPATH": f"{self.folder / 'spark_apps'}{os.pathsep}{self.folder}", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, *argv], cwd=self.folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def test(self, *argv: str) -> None:
        """Run these tests of the copy."""
        self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *argv)

    def follow(self) -> None:
        """`make generated`, then the check of everything that follows from declarations."""
        self.run("-m", "lakehouse", "docs", "--write")
        self.run("-m", "infra.docs.commands")
        self.run("-m", "infra.docker.compose")
        self.run("-m", "lakehouse", "check")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_a_source_table_is_one_file(copy: Copy) -> None:
    copy.add("spark_apps/lakehouse/tables/reviews.py", _SOURCE)
    copy.follow()
    assert "silver.reviews_history" in copy.run("-m", "lakehouse", "ddl")
    assert "ebap.cdc.reviews" in copy.run(
        "-c", "from lakehouse import tables; from lakehouse.source import topics; print(topics.declared(tables.SOURCES))"
    )
    assert "TABLE`: order_items, orders, products, reviews, users" in (copy.folder / "infra/docs/reference/commands.md").read_text()
    copy.test("tests/policy/test_declarations.py")
    assert len(copy.touched) == 1


def test_a_gold_table_is_two_files(copy: Copy) -> None:
    copy.add("spark_apps/lakehouse/tables/basket_sizes.py", _GOLD)
    copy.add("spark_apps/lakehouse/tables/basket_sizes.sql", _GOLD_SQL)
    copy.follow()
    assert "gold.basket_sizes" in copy.run("-m", "lakehouse", "ddl")
    assert "gold.basket_sizes" in (copy.folder / "spark_apps/lakehouse/tables/README.md").read_text()
    copy.test("tests/policy/test_declarations.py")
    assert len(copy.touched) == 2


def test_a_server_is_one_file_and_the_line_of_its_port(copy: Copy) -> None:
    copy.add("infra/services/echo.py", _SERVER)
    copy.insert("spark_apps/lakehouse/settings.py", "    metabase_url: str", '    echo_port: int = port(18077, "the echo server")\n')
    copy.follow()
    assert "127.0.0.1:${EBAP_ECHO_PORT:-18077}" in (copy.folder / "docker-compose.yaml").read_text()
    assert "[program:echo]" in copy.run(
        "-c", "from infra.local import supervision; from lakehouse.settings import Settings; print(supervision.render(Settings()))"
    )
    copy.test("tests/policy/test_compose.py", "tests/unit/test_local_services.py")
    assert len(copy.touched) == 2


def test_a_streaming_app_is_its_two_files_and_its_entry(copy: Copy) -> None:
    copy.add("spark_apps/pulse.py", _APP)
    copy.add("spark_apps/lakehouse/bronze/pulse.py", _APP_MODULE)
    copy.insert("spark_apps/lakehouse/verbs.py", "    )\n}\n\n\n@dataclass(frozen=True, kw_only=True)\nclass Verb:", _APP_ENTRY)
    copy.follow()
    assert "### pulse" in (copy.folder / "infra/docs/reference/commands.md").read_text()
    assert "infra.services.probe, pulse" in (copy.folder / "docker-compose.yaml").read_text()
    # Whether a second app fits the memory of the demo is a question of its own.
    copy.test(
        "tests/policy/test_compose.py", "tests/unit/test_local_services.py", "-k", "not test_the_shares_of_each_half_stay_within_its_budget"
    )
    assert len(copy.touched) == 3
