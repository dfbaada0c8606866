"""The generator's command line reports an error in one line that gives the cure."""

import json
from pathlib import Path

import pytest

from generator import __main__ as cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--rate", "0"], "use `python -m generator pause`"),
        (["run", "--rate", "fast"], "not a rate above 0"),
        (["run", "--for", "ever"], "write 90, 30s, 5m or 2h"),
        (["backfill"], "--days"),
        (["backfill", "--days", "-3"], "not a whole number"),
        (["sell"], "invalid choice"),
        (["seed"], "no password file"),
        (["eps", "0"], "use `python -m generator pause`"),
        (["eps", "40000"], "up to 30000"),
        (["chaos", "late=5"], "late=0.05"),
        (["chaos", "lateness=0.1"], "there are late"),
        (["ledger", "maybe"], "invalid choice"),
        (["clicks"], "no password file"),
    ],
)
def test_an_invalid_call_is_one_line_with_the_cure(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EBAP_HOME", str(tmp_path))
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize("command", [["schema"], ["seed"], ["run"], ["backfill", "--days", "1"], ["clicks"], ["visits", "--days", "1"]])
def test_an_unavailable_database_is_one_line_with_the_cure(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_text("secret")
    monkeypatch.setenv("EBAP_HOME", str(tmp_path))
    monkeypatch.setenv("EBAP_SOURCE_DSN", "host=127.0.0.1 port=1 dbname=shop user=shop_owner")
    monkeypatch.setenv("EBAP_SOURCE_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setattr(cli.pools, "build", lambda _: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is not available" in error
    assert "make up" in error
    assert "secret" not in error


def test_status_is_one_json_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EBAP_HOME", str(tmp_path))
    assert cli.main(["status"]) == 0
    assert json.loads(capsys.readouterr().out) == {"state": "stopped", "is_paused": False, "clicks": {"state": "stopped"}}


def test_faults_are_kept_by_name_until_they_are_turned_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EBAP_HOME", str(tmp_path))
    for arguments, rates in (
        (["chaos"], {}),
        (["chaos", "late=0.05", "duplicate=0.1"], {"late": 0.05, "duplicate": 0.1}),
        (["chaos", "late=0"], {"duplicate": 0.1}),
        (["chaos", "off"], {}),
    ):
        assert cli.main(arguments) == 0
        assert json.loads(capsys.readouterr().out) == rates


def test_a_number_of_events_out_of_range_is_one_line_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EBAP_HOME", str(tmp_path))
    monkeypatch.setenv("EBAP_EPS", "0")
    assert cli.main(["clicks"]) == 2
    assert capsys.readouterr().err == "generator: EBAP_EPS is 0: give a number from 1 to 30000\n"
