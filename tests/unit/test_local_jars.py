"""The lock of Java artifacts: complete, without addresses, and a changed file never reaches a class path."""

from __future__ import annotations

import hashlib

import pytest

from infra.install import jars
from lakehouse.settings import Settings
from tests.refusals import refused


@pytest.fixture
def settings(tmp_path):
    return Settings(home=str(tmp_path / "home"), cache=str(tmp_path / "cache"))


def _locked(settings, monkeypatch, tmp_path, content, locked_content=None):
    """A lock of one artifact, and that artifact in the cache."""
    digest = hashlib.sha256(locked_content or content).hexdigest()
    lock = tmp_path / "jars.txt"
    lock.write_text(f"# comment\nspark org.example:thing:jar::1.0 {digest} {len(locked_content or content)}\n")
    monkeypatch.setattr(jars, "read_lock", lambda path=lock, read=jars.read_lock: read(path))
    path = settings.cache_dir / "jars/org/example/thing/1.0/thing-1.0.jar"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_the_lock_has_a_checksum_for_each_artifact_and_no_address():
    locked = jars.read_lock()
    assert {jar.folder for jar in locked} == {"spark", "gcs", "iceberg", "kafka", "debezium", "trino"}
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in locked)
    assert "://" not in jars.LOCK.read_text()
    assert "://" not in jars.WISHES.read_text()


def test_everything_wished_for_is_locked_in_that_version():
    locked: dict[str, set[tuple[str, str, str]]] = {jar.folder: set() for jar in jars.read_lock()}
    for jar in jars.read_lock():
        group, artifact, _, _, version = jar.coordinate.split(":")
        locked[jar.folder].add((group, artifact, version))
    for folder, coordinates in jars._wishes().items():
        for parts in (coordinate.split(":") for coordinate in coordinates):
            assert (parts[0], parts[1], parts[-1]) in locked[folder]


def test_a_cached_artifact_is_linked_without_the_network(settings, monkeypatch, tmp_path):
    _locked(settings, monkeypatch, tmp_path, b"right")
    jars.fetch(settings)
    assert (settings.home_dir / "jars/spark/thing-1.0.jar").read_bytes() == b"right"


def test_a_file_that_is_not_the_locked_one_is_thrown_away_and_never_linked(settings, monkeypatch, tmp_path):
    path = _locked(settings, monkeypatch, tmp_path, b"wrong", locked_content=b"right")

    class Served:
        def resolve(self):
            path.write_bytes(b"wrong")

    monkeypatch.setattr(jars, "_artifact", lambda context, coordinate: Served())
    monkeypatch.setattr(jars, "_maven", lambda settings: None)
    with refused("org.example:thing:jar::1.0", cure="`make install`"):
        jars.fetch(settings)
    assert not path.exists()
    assert not (settings.home_dir / "jars/spark").exists()


def test_a_changed_lock_builds_the_folder_anew(settings, monkeypatch, tmp_path):
    path = _locked(settings, monkeypatch, tmp_path, b"right")
    jars.fetch(settings)
    stray = settings.home_dir / "jars/spark/old-0.9.jar"
    stray.write_bytes(b"old")
    jars.fetch(settings)
    assert stray.exists(), "an unchanged lock leaves the folder alone"
    path.write_bytes(b"newer")
    (tmp_path / "jars.txt").write_text(f"spark org.example:thing:jar::1.0 {hashlib.sha256(b'newer').hexdigest()} 5\n")
    jars.fetch(settings)
    assert not stray.exists()


def test_the_name_of_a_file_has_its_classifier():
    jar = jars.Jar("debezium", "io.debezium:connector:tar.gz:plugin:3.7.0.Final", "0" * 64, 1)
    assert jar.file_name == "connector-3.7.0.Final-plugin.tar.gz"
