"""Where the local Metabase's jar comes from, what is said where it cannot be had, and what it is started with."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from infra.install import java, metabase_jar
from infra.services import metabase, passwords, services
from lakehouse.settings import Settings
from tests.refusals import refused
from tests.serving import serving


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"), cache=str(tmp_path / "cache"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Address of a jar on a server; the jar is a real archive, if a small one."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "metabase.jar").write_bytes(_archive())
    with serving(partial(_Quiet, directory=str(folder))) as address:
        yield f"{address}/metabase.jar"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *said: object) -> None:
        """Say nothing."""


def _archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n")
    return stream.getvalue()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _names(settings: Settings) -> list[str]:
    return [service.name for service in services(settings)]


def test_the_pinned_jar_is_downloaded_once_and_becomes_a_service(settings: Settings, site: str, capsys: pytest.CaptureFixture[str]) -> None:
    metabase_jar.fetch(settings, site, _digest(_archive()))
    assert _digest(metabase_jar.jar(settings).read_bytes()) == _digest(_archive())
    assert "metabase" in _names(settings)
    capsys.readouterr()
    metabase_jar.jar(settings).unlink()
    metabase_jar.fetch(settings, "http://127.0.0.1:9/gone.jar", _digest(_archive()))
    assert capsys.readouterr().out == ""
    assert metabase_jar.jar(settings).is_file()


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(settings: Settings, site: str) -> None:
    with refused(site, cure="EBAP_METABASE_JAR"):
        metabase_jar.fetch(settings, site)
    assert not metabase_jar.jar(settings).exists()
    assert not [path for path in settings.cache_dir.rglob("*") if path.is_file()]
    assert "metabase" not in _names(settings)


def test_where_it_cannot_be_downloaded_the_ways_out_are_named(settings: Settings) -> None:
    with refused("http://127.0.0.1:9/", cure="EBAP_METABASE_URL"):
        metabase_jar.fetch(settings, "http://127.0.0.1:9/metabase.jar")


def test_a_given_jar_is_taken_and_one_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "mine.jar"
    settings = Settings(home=str(tmp_path / "home"), cache=str(tmp_path / "cache"), metabase_jar=str(given))
    with refused("EBAP_METABASE_JAR", str(given)):
        metabase_jar.fetch(settings)
    given.write_bytes(_archive())
    metabase_jar.fetch(settings)
    assert f"is not Metabase {metabase_jar.VERSION}" in capsys.readouterr().out
    assert metabase_jar.jar(settings).read_bytes() == _archive()


def test_who_names_a_metabase_of_their_own_gets_no_second_one(settings: Settings, site: str, tmp_path: Path) -> None:
    metabase_jar.fetch(settings, site, _digest(_archive()))
    elsewhere = Settings(home=settings.home, metabase_url="http://127.0.0.1:3000/")
    assert "metabase" not in _names(elsewhere)
    assert elsewhere.metabase_address == "http://127.0.0.1:3000"


def test_its_data_is_in_postgres_and_its_page_on_this_machine_only(settings: Settings) -> None:
    passwords.generate(settings)
    environment = metabase.environment(settings)
    assert environment["MB_DB_TYPE"] == "postgres"
    assert environment["MB_DB_PASS"] == settings.secret("metabase_db")
    assert environment["MB_JETTY_HOST"] == "127.0.0.1"
    assert environment["MB_SITE_URL"] == settings.metabase_address


def test_a_machine_without_its_java_is_told_what_fetches_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_candidates", lambda settings: iter([]))
    with refused("Java 21", cure="`make metabase`"):
        metabase.command(settings)
