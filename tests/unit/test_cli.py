"""The command line: one registry of commands, and the names of the release before."""

import os
import subprocess
import sys

import pytest

from lakehouse.cli import main
from lakehouse.cli.commands import COMMANDS
from lakehouse.settings import PROJECT


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


def test_the_capture_reports_a_part_that_is_away_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("EBAP_KAFKA_PORT", "1")
    assert main.main(["topics"]) == 2
    error = capsys.readouterr().err
    assert "Kafka at 127.0.0.1:1 does not answer" in error
    assert len(error.splitlines()) == 1
