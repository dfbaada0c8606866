"""Whether the live half runs: decided once by this machine's size, kept, and overridden by EBAP_LIVE and `make live`."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.install import halves, machine, parts
from lakehouse.settings import PROJECT, Settings
from tests.refusals import refused


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"))


@pytest.fixture
def sized(monkeypatch: pytest.MonkeyPatch):
    """Gives this machine that memory and free disk, in GB."""

    def give(memory_gb: float, disk_gb: float) -> None:
        monkeypatch.setattr(machine, "memory_mb", lambda: int(memory_gb * 1024))
        monkeypatch.setattr(machine, "free_disk_mb", lambda settings: int(disk_gb * 1024))

    return give


@pytest.mark.parametrize(
    ("memory_gb", "disk_gb", "is_on", "line"),
    [
        (14, 10, True, "live half: on, this machine has 14 GB of memory and 10 GB of disk free, or more"),
        (13.9, 10, False, "live half: off, this machine has 13 GB of memory (14 needed): `make live` adds it later"),
        (64, 9.9, False, "live half: off, this machine has 9 GB of disk free (10 needed): `make live` adds it later"),
    ],
)
def test_the_first_start_decides_by_the_machine(settings, sized, capsys, memory_gb, disk_gb, is_on, line) -> None:
    sized(memory_gb, disk_gb)
    assert not settings.is_live
    halves.decide(settings)
    assert settings.is_live is is_on
    assert capsys.readouterr().out == f"{line}\n"


def test_the_decision_is_kept_when_the_machine_changes(settings, sized, capsys) -> None:
    sized(8, 100)
    halves.decide(settings)
    capsys.readouterr()
    sized(64, 100)
    halves.decide(settings)
    assert not settings.is_live
    assert capsys.readouterr().out == ""


def test_an_upgrade_of_a_platform_with_data_adds_nothing_by_itself(settings, sized, capsys) -> None:
    (settings.home_dir / "data").mkdir(parents=True)
    sized(64, 100)
    halves.decide(settings)
    assert not settings.is_live
    expected = f"live half: off, {settings.home_dir} has data of a platform without it: `make live` adds it later\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("choice", ["yes", "no"])
def test_a_setting_decides_alone_and_is_not_kept(settings, sized, capsys, choice) -> None:
    sized(8 if choice == "yes" else 64, 100)
    given = dataclasses.replace(settings, live=choice)
    halves.decide(given)
    assert given.is_live is (choice == "yes")
    assert not given.live_choice.exists()
    assert capsys.readouterr().out == ""


def test_the_live_half_is_added_later_and_stays(settings, sized) -> None:
    sized(8, 100)
    halves.decide(settings)
    halves.switch_on(settings)
    kept_at = settings.live_choice.stat().st_mtime_ns
    halves.decide(settings)
    halves.switch_on(settings)
    assert settings.is_live
    # The warm server is restarted where it is older than this file.
    assert settings.live_choice.stat().st_mtime_ns == kept_at


def test_the_live_half_cannot_be_added_against_a_setting(settings) -> None:
    with refused("EBAP_LIVE is no", cure="remove it from .env"):
        halves.switch_on(dataclasses.replace(settings, live="no"))


@pytest.mark.parametrize(("argument", "is_on"), [("start", False), ("live", True), ("dev", True)])
def test_the_decision_comes_before_the_installation(settings, sized, monkeypatch, argument, is_on) -> None:
    installed = []
    sized(8, 100)
    monkeypatch.setenv("EBAP_HOME", settings.home)
    monkeypatch.setattr(parts, "install", lambda given, argument: installed.append(given.is_live))
    assert parts.main([argument]) == 0
    assert installed == [is_on]
    # The tests need the live half; that is no decision about the platform.
    assert settings.live_choice.exists() is (argument != "dev")


@pytest.mark.parametrize(("target", "decision"), [("demo", "start"), ("up", "start"), ("live", "live")])
def test_make_decides_before_it_starts(target: str, decision: str) -> None:
    command = ["make", "-n", f"PYTHON={sys.executable}", target]
    done = subprocess.run(command, cwd=PROJECT, env=dict(os.environ), capture_output=True, text=True, check=True)
    assert done.stdout.index(f"infra/install {decision}") < done.stdout.index(f"-m infra.local {target}")
