"""Each fault of a machine gives one line that names the thing and the cure."""

from __future__ import annotations

import dataclasses
import os
import resource
import socket
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest.mock import MagicMock

import pytest

from infra.install import doctor, halves, holders, java
from infra.services import passwords
from lakehouse.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=str(tmp_path / "home"))


@pytest.fixture
def taken_port():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def _errors(settings):
    return [finding.text for finding in doctor.check(settings) if finding.is_error]


def test_a_taken_port_is_named_with_its_setting_and_its_holder(tmp_path, taken_port):
    (line,) = [text for text in _errors(Settings(home=str(tmp_path), connect_port=taken_port)) if str(taken_port) in text]
    assert f"process {os.getpid()}" in line
    assert "set EBAP_CONNECT_PORT to a free port" in line
    assert "\n" not in line


def test_a_port_held_by_a_service_of_this_home_folder_is_fine(tmp_path, taken_port):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "connect.json").write_text(f'{{"pid": {os.getpid()}}}')
    assert not [text for text in _errors(Settings(home=str(tmp_path), connect_port=taken_port)) if str(taken_port) in text]


def test_one_port_for_two_services_is_refused(settings, tmp_path):
    texts = _errors(Settings(home=str(tmp_path), kafka_port=40001, connect_port=40001))
    assert sum("port 40001 is given to two services" in text for text in texts) == 2


def _fake_java(folder, version):
    (folder / "bin").mkdir(parents=True)
    script = folder / "bin" / "java"
    script.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024' >&2\n")
    script.chmod(0o755)
    return folder


@pytest.fixture
def without_java(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java, "_SYSTEM", tmp_path / "none")


def test_a_machine_without_java_is_told_what_to_do(settings, without_java):
    (line,) = [text for text in _errors(settings) if "Java" in text]
    assert line.startswith("there is no Java 17 or 21")
    assert "JAVA_HOME" in line
    assert "make install" in line


def test_a_java_that_does_not_fit_is_named(settings, without_java, monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path / "jdk25", "25.0.1")))
    (line,) = [text for text in _errors(settings) if "Java" in text]
    assert f"found Java 25 in {tmp_path / 'jdk25'}" in line


@pytest.mark.parametrize("version", ["17.0.15", "21.0.8"])
def test_java_17_and_21_fit(settings, without_java, monkeypatch, tmp_path, version):
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path / "jdk", version)))
    assert not [text for text in _errors(settings) if "Java" in text]


def test_the_bundled_java_drops_the_one_option_it_does_not_know(settings, without_java, tmp_path):
    home = _fake_java(java.bundled(settings), "21.0.8")
    (home / "bin" / "java").write_text('#!/bin/sh\necho \'version "21.0.8"\' >&2\nprintf "%s\\n" "$@"\n')
    assert java.link(settings) == java.Java(home, 21)
    linked = settings.home_dir / "java" / "bin" / "java"
    words = [linked, "--add-modules=jdk.incubator.vector", "-Xmx1m", "two words"]
    seen = subprocess.run(words, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    assert seen == ["-Xmx1m", "two words"]


@pytest.mark.parametrize(("version", "is_error"), [((3, 10), True), ((3, 11), False), ((3, 13), False), ((3, 14), True)])
def test_pythons_outside_3_11_to_3_13_are_refused(version, is_error):
    finding = doctor._python(version)
    assert finding.is_error is is_error
    assert not is_error or "make PYTHON=" in finding.text


def test_little_memory_is_a_warning_and_very_little_an_error():
    wanted_mb = halves.CHANGE_DATA.memory_mb
    assert doctor._memory(wanted_mb, wanted_mb).level == "ok"
    assert doctor._memory(wanted_mb - 1, wanted_mb).level == "warning"
    low = doctor._memory(1000, wanted_mb)
    assert low.is_error
    assert "EBAP_SPARK_MEMORY_MB" in low.text
    assert "EBAP_LIVE" not in low.text


def test_both_halves_want_the_memory_and_the_disk_of_both(settings):
    live = dataclasses.replace(settings, live="yes")
    wanted_mb = halves.CHANGE_DATA.memory_mb + halves.LIVE.memory_mb
    assert halves.memory_mb(live) == wanted_mb
    assert halves.disk_mb(live) == halves.CHANGE_DATA.disk_mb + halves.LIVE.disk_mb
    assert "set EBAP_LIVE=no" in doctor._memory(wanted_mb - 1, wanted_mb).text


def test_memory_that_the_platforms_own_services_hold_is_available_to_it(settings):
    assert holders.held_mb(settings) == 0
    (settings.home_dir / "run").mkdir(parents=True)
    (settings.home_dir / "run" / "kafka.json").write_text(f'{{"pid": {os.getpgid(0)}}}')
    assert holders.held_mb(settings) > 10


def test_a_port_of_the_live_half_is_checked_where_it_runs(tmp_path, taken_port):
    home = str(tmp_path)
    assert not [text for text in _errors(Settings(home=home, live="no", trino_port=taken_port)) if str(taken_port) in text]
    (line,) = [text for text in _errors(Settings(home=home, live="yes", trino_port=taken_port)) if str(taken_port) in text]
    assert "set EBAP_TRINO_PORT to a free port" in line
    own = Settings(home=home, live="yes", s3_filer_port=taken_port, s3_endpoint="http://127.0.0.1:1")
    assert not [text for text in _errors(own) if f"port {taken_port}" in text]


def test_trino_without_its_java_is_refused_where_the_live_half_runs(settings, without_java, monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path / "jdk", "21.0.8")))
    assert not [text for text in _errors(settings) if "Trino" in text]
    live = dataclasses.replace(settings, live="yes")
    (line,) = [text for text in _errors(live) if "Trino" in text]
    assert line.startswith("there is no Java 24 or newer for Trino: run `make install`, which fetches one")
    _fake_java(java.bundled_newest(live), "25.0.1")
    assert not [text for text in _errors(live) if "Trino" in text]


@pytest.fixture
def own_s3(settings):
    """A store that has bucket bronze alone, with settings and keys for it."""

    class Store(BaseHTTPRequestHandler):
        def do_GET(self):
            found = "<Buckets><Bucket><Name>bronze</Name><CreationDate>2026-11-28T00:00:00.000Z</CreationDate></Bucket></Buckets>"
            body = f'<?xml version="1.0"?><ListAllMyBucketsResult>{found}</ListAllMyBucketsResult>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        passwords.generate(settings)
        yield dataclasses.replace(settings, live="yes", s3_endpoint=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def _about_s3(settings):
    (line,) = [text for text in _errors(settings) if "EBAP_S3_ENDPOINT" in text]
    return line


def test_an_own_s3_that_lacks_a_bucket_is_refused(own_s3):
    line = _about_s3(own_s3)
    assert "has no bucket silver" in line
    assert "create buckets bronze and silver there" in line


def test_an_own_s3_that_does_not_answer_or_has_no_keys_is_refused(own_s3):
    away = dataclasses.replace(own_s3, s3_endpoint="http://127.0.0.1:1")
    assert _about_s3(away).startswith("EBAP_S3_ENDPOINT=http://127.0.0.1:1 cannot be used (port 1: Connection refused): start it")
    own_s3.secret_file("s3_secret_key").unlink()
    assert f"write them into {own_s3.secret_file('s3_access_key')} and" in _about_s3(own_s3)
    assert not [text for text in _errors(dataclasses.replace(own_s3, live="no")) if "S3" in text]


def _opened(settings):
    return [finding for finding in doctor.check(settings) if "open" in finding.text and "files" in finding.text]


def test_a_soft_limit_of_open_files_is_raised(settings, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", raised := MagicMock())
    assert [finding.level for finding in _opened(settings)] == ["ok"]
    raised.assert_called_once_with(resource.RLIMIT_NOFILE, (doctor.OPEN_FILES, resource.RLIM_INFINITY))


def test_a_hard_limit_of_open_files_is_refused_before_anything_starts(settings, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, 1024))
    monkeypatch.setattr(resource, "setrlimit", MagicMock(side_effect=ValueError))
    (finding,) = _opened(settings)
    assert finding.is_error
    assert "may have 1,024 files open, and 4,096 are needed: set `ulimit -Hn`" in finding.text
