"""Each fault of a machine gives one line that names the thing and the cure."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from unittest.mock import MagicMock

import pytest

from infra.install import doctor, java
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
    assert doctor._memory(doctor.MEMORY_MB).level == "ok"
    assert doctor._memory(doctor.MEMORY_MB - 1).level == "warning"
    low = doctor._memory(1000)
    assert low.is_error
    assert "EBAP_SPARK_MEMORY_MB" in low.text


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
