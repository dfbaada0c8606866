"""Settings come from `.env` and the environment, and a wrong one is refused by name with its cure."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from lakehouse import settings
from lakehouse.errors import SettingsError
from lakehouse.settings import Settings
from tests.refusals import refused


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of its own, so that the developer's `.env` plays no part."""
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    return tmp_path


def test_without_anything_given_the_defaults_stand() -> None:
    assert Settings.from_environment({}) == Settings()


def test_the_environment_wins_over_the_file(project: Path) -> None:
    (project / ".env").write_text("# mine\nEBAP_RATE=7\nEBAP_SEED = '3'\nOTHER=1\n")
    got = Settings.from_environment({"EBAP_RATE": "9", "HOME": "/nowhere"})
    assert (got.rate, got.seed) == (9, 3)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("EBAP_SOURCE_SCHEMA=crm", "crm"),
        ("export EBAP_SOURCE_SCHEMA=crm", "crm"),
        ("  EBAP_SOURCE_SCHEMA = crm  # theirs", "crm"),
        ('EBAP_SOURCE_SCHEMA="crm"', "crm"),
        ("EBAP_SOURCE_SCHEMA='c r m' # theirs", "c r m"),
        ("EBAP_SOURCE_SCHEMA=c#m", "c#m"),
        ("EBAP_SOURCE_DSN=host=db dbname=crm  # theirs", "host=db dbname=crm"),
        ("EBAP_SOURCE_DSN=\"host=db options='-c a=b'\"", "host=db options='-c a=b'"),
        ("EBAP_SOURCE_SCHEMA=", "shop"),
        ("EBAP_SOURCE_SCHEMA=   # theirs", "shop"),
    ],
)
@pytest.mark.parametrize(("before", "after"), [("", "\n"), ("\ufeff", "\r\n"), ("# mine\r\n\r\n", "\r\nOTHER=1\r\n")])
def test_a_line_of_the_file_is_read_as_a_shell_reads_it(project: Path, line: str, value: str, before: str, after: str) -> None:
    (project / ".env").write_bytes(f"{before}{line}{after}".encode())
    got = Settings.from_environment({})
    assert value == (got.source_dsn if "DSN" in line else got.source_schema)


@pytest.mark.parametrize("line", ["EBAP_RATE", "EBAP_RATE='5", "EBAP_RATE='5' 6", "set EBAP_RATE=5", "EBAP-RATE=5"])
def test_a_line_that_is_no_assignment_is_refused_with_its_number(project: Path, line: str) -> None:
    (project / ".env").write_text(f"# mine\n{line}\n")
    with pytest.raises(SettingsError, match=rf"^line 2 of {project}/.env is .*: write NAME=value, the value in quotes or without any$"):
        Settings.from_environment({})


def test_a_folder_may_be_written_from_the_home_folder_or_with_a_space_in_it(project: Path) -> None:
    (project / ".env").write_text("EBAP_HOME='~/my platform'\nEBAP_CACHE=~/cache\nEBAP_SOURCE_PASSWORD_FILE=~/owner\n")
    got = Settings.from_environment({})
    assert (got.home_dir, got.cache_dir) == (Path.home() / "my platform", Path.home() / "cache")
    assert got.secret_file("shop_owner") == Path.home() / "owner"


def test_an_account_without_a_home_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(
        SettingsError, match=r"^EBAP_CACHE is ~/\.cache/ebap, and this account has no home folder: set HOME, or give a full path$"
    ):
        Settings.from_environment({})
    assert Settings.from_environment({"EBAP_CACHE": "/var/cache/ebap"}).cache_dir == Path("/var/cache/ebap")


@pytest.mark.parametrize("root", ["/data/lake", "~/lake", "file:~/lake", "s3://bucket"])
def test_a_lake_that_is_no_full_uri_is_refused(root: str) -> None:
    with pytest.raises(SettingsError, match=r"give a URI with a full path, such as file:///data/lake or gs://bucket/lake"):
        Settings.from_environment({"EBAP_LAKE": root})


def test_an_empty_variable_means_the_default() -> None:
    assert Settings.from_environment({"EBAP_KAFKA_PORT": ""}).kafka_port == Settings().kafka_port


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("EBAP_RAET", "5", "unknown setting EBAP_RAET: did you mean EBAP_RATE?"),
        ("EBAP_NOTHING_LIKE_IT_AT_ALL", "5", ".env.example lists the settings there are"),
        ("EBAP_RATE", "fast", "EBAP_RATE is 'fast': give a whole number, such as 5"),
        ("EBAP_RATE", "-1", "EBAP_RATE is -1: give a number that is not negative"),
        ("EBAP_KAFKA_PORT", "0", "EBAP_KAFKA_PORT is 0: give a port from 1 to 65535"),
        ("EBAP_KAFKA_PORT", "70000", "EBAP_KAFKA_PORT is 70000: give a port from 1 to 65535"),
        ("EBAP_EPS", "0", "EBAP_EPS is 0: give a number from 1 to 30000"),
        ("EBAP_EPS", "100001", "EBAP_EPS is 100001: give a number from 1 to 30000"),
        ("EBAP_LIVE", "maybe", "EBAP_LIVE is 'maybe': give one of auto, yes, no"),
        ("EBAP_S3_ENDPOINT", "s3.example:9000", "give an address with its scheme, such as http://"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_cure(name: str, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({name: text})
    assert says in str(raised.value)


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({"EBAP_RATE": "fast", "EBAP_SEED": "none", "EBAP_HOEM": "x"})
    assert all(name in str(raised.value) for name in ("EBAP_RATE", "EBAP_SEED", "EBAP_HOEM"))


def test_no_two_ports_are_the_same() -> None:
    ports = Settings().ports()
    assert len(set(ports.values())) == len(ports)
    assert ports["EBAP_POSTGRES_PORT"] == 15432


def test_every_setting_is_in_the_example_with_meaning_and_default() -> None:
    text = settings.example()
    for entry in dataclasses.fields(Settings):
        assert f"# {entry.metadata['doc']}\n#EBAP_{entry.name.upper()}=" in text
    assert f"#EBAP_RATE={Settings().rate}\n" in text


def test_the_example_names_no_folder_of_this_machine() -> None:
    assert str(Path.home()) not in settings.example()


def test_the_example_uncommented_is_the_default(project: Path) -> None:
    lines = [line[1:] for line in settings.example().splitlines() if line.startswith("#EBAP_")]
    (project / ".env").write_text("\n".join(line for line in lines if not line.startswith(("EBAP_HOME=", "EBAP_CACHE="))))
    assert Settings.from_environment({}) == Settings()


def test_the_lake_follows_the_home_unless_it_has_a_place_of_its_own(tmp_path: Path) -> None:
    assert Settings(home=str(tmp_path)).lake_root == f"file://{tmp_path}/lake"
    assert Settings(lake="gs://bucket/lake/").lake_root == "gs://bucket/lake"


def test_a_missing_password_file_names_the_cure(tmp_path: Path) -> None:
    with refused(str(tmp_path / "secrets" / "capture"), cure="`make up`", kind=SettingsError):
        Settings(home=str(tmp_path)).secret("capture")


def test_another_source_s_password_comes_from_its_own_file(tmp_path: Path) -> None:
    given = tmp_path / "password"
    given.write_text("secret\n")
    got = Settings(home=str(tmp_path), source_password_file=str(given))
    assert got.secret("shop_owner") == "secret"
    assert got.secret_file("capture") == tmp_path / "secrets" / "capture"


def test_every_service_listens_here_and_is_looked_for_here_unless_told_otherwise() -> None:
    made = vars(Settings())
    assert {made[name] for name in made if name == "bind" or name.endswith("_host")} == {"127.0.0.1"}
    assert set(re.findall(r"[\w.]+(?=:\d)", " ".join(map(str, _addresses(Settings()))))) == {"127.0.0.1"}


def _addresses(made: Settings) -> list[str]:
    urls = [made.connect_url, made.airflow_url, made.airflow_page, made.boards_url, made.boards_page, made.metabase_address]
    return [*urls, made.metabase_page, made.spark_remote, made.kafka_bootstrap]
