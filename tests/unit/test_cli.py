"""The command line: one registry of commands, and the names of the release before."""

import os
import subprocess
import sys

import pytest

from lakehouse.cli import main
from lakehouse.cli.commands import COMMANDS
from lakehouse.settings import PROJECT
from lakehouse.source import broker


def printed(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *argv], cwd=PROJECT, capture_output=True, text=True, check=False, env=dict(os.environ))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("lakehouse", "fence"), "python -m lakehouse catch-up"),
        (("infra.capture", "apply"), "python -m lakehouse capture"),
        (("infra.kafka",), "python -m lakehouse topics"),
    ],
)
def test_an_old_name_still_works_and_prints_one_line_with_the_new_one(old, new):
    done = printed(*old, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {new}")
    assert [line for line in done.stderr.splitlines() if f"is now `{new}`" in line] == done.stderr.splitlines() != []


def test_a_name_is_given_once_and_every_command_can_be_run():
    names = [command.name for command in COMMANDS] + [command.formerly for command in COMMANDS if command.formerly]
    assert len(set(names)) == len(names)
    assert [command.name for command in COMMANDS if bool(command.run) == bool(command.commands)] == []


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["topics"], "Kafka at 127.0.0.1:1"),
        (["resnapshot", "users"], "the source"),
        (["resnapshot", "users", "--where", "true; false"], "'true; false'"),
        (["replay", "nobody"], "'nobody'"),
        (["replay", "users", "--reason", "tired"], "'tired'"),
        (["forget", "users"], "`forget users 42`"),
        (["submit", "land"], "there is no pyspark"),
        (["sql", "SELECT 1"], "the Thrift port 1"),
        (["hold", "soon"], "'soon'"),
    ],
)
def test_what_a_person_can_cure_is_one_line_that_names_it(monkeypatch, tmp_path, capsys, argv, named):
    (tmp_path / "owner").write_text("secret")
    monkeypatch.setattr(broker, "_ANSWERS_WITHIN_MS", 1000)
    away = {"KAFKA_PORT": "1", "THRIFT_PORT": "1", "SOURCE_DSN": "host=127.0.0.1 port=1 dbname=shop user=shop_owner"}
    for name, value in {**away, "SOURCE_PASSWORD_FILE": str(tmp_path / "owner"), "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"EBAP_{name}", value)
    assert main.main(argv) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("lakehouse: ") and named in error


def test_a_reader_that_has_enough_ends_the_command_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "lakehouse", "check"], cwd=PROJECT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_bug_keeps_its_stack_trace(monkeypatch):
    monkeypatch.setattr("lakehouse.lake.ddl.statements", lambda settings: [][0])
    with pytest.raises(IndexError):
        main.main(["ddl"])
