"""Policy for the environment of Airflow's processes, checked against Airflow's own list of options."""

import os
import stat
from pathlib import Path
from unittest.mock import MagicMock

import pytest

pytest.importorskip("airflow", reason="Airflow has an environment of its own; `make check` runs these tests there")

from infra.airflow import environment, pools
from lakehouse import tables
from lakehouse.errors import SettingsError
from lakehouse.settings import Settings

SECRETS = ("airflow_db", "airflow_fernet", "airflow_jwt", "airflow_api", "airflow_admin")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in SECRETS:
        (folder / name).write_text(f"{name}/@: secret\n")
    return Settings(home=str(tmp_path))


def test_every_setting_is_an_option_of_airflow(settings):
    from airflow.configuration import conf

    for name in environment(settings):
        if name.startswith("AIRFLOW__"):
            _, section, option = name.lower().split("__", 2)
            assert option in conf.configuration_description.get(section, {}).get("options", {}), name


def test_nothing_listens_beyond_this_machine(settings):
    variables = environment(settings)
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert variables["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "False"
    assert not [value for value in variables.values() if "0.0.0.0" in value]


def test_a_password_with_reserved_characters_is_quoted_in_the_address(settings):
    from sqlalchemy.engine import make_url

    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"):
        assert make_url(environment(settings)[name]).password == "airflow_db/@: secret"


@pytest.mark.parametrize("name", [name for name in SECRETS if name != "airflow_admin"])
def test_a_missing_password_file_is_named(settings, name):
    settings.secret_file(name).unlink()
    with pytest.raises(SettingsError, match=name):
        environment(settings)


def test_only_its_owner_can_read_the_password_file(settings, monkeypatch):
    from infra.airflow import __main__ as command
    from infra.airflow import passwords_file

    called = []
    monkeypatch.setattr(command, "_airflow", lambda settings, environment, *args: called.append(args[:2]))
    command.init(settings, {})
    command.init(settings, {})
    assert stat.S_IMODE(passwords_file(settings).stat().st_mode) == 0o600
    # The second call finds nothing changed and runs no command.
    assert called == [("db", "migrate"), ("pools", "import")]


def test_one_pool_per_stored_gold_table_and_one_per_other_kind_of_work(settings):
    slots = pools.slots(settings)
    others = {pools.SILVER, pools.MACHINES, pools.PLATFORM, pools.RECONCILE}
    assert slots.keys() == others | {pools.gold(table) for table in tables.GOLD if not table.is_view}
    assert slots[pools.SILVER][0] == settings.silver_slots
    assert slots[pools.MACHINES][0] == 1  # a start waits for a stop to end


def test_airflow_variables_and_proxies_of_the_shell_do_not_reach_our_processes(settings, monkeypatch):
    import httpx

    from infra.airflow import __main__ as command
    from tests import hostile

    python = settings.home_dir / "venv" / "airflow" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    socks = dict.fromkeys(("all_proxy", "ALL_PROXY"), "socks5://127.0.0.1:9")
    shell = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "EBAP_HOME": settings.home, "http_proxy": "http://127.0.0.1:9"}
    monkeypatch.setattr(os, "environ", {**shell, **hostile.VARIABLES, **socks})
    monkeypatch.setattr(os, "execve", started := MagicMock())
    command.main(["scheduler"])
    variables = started.call_args.args[2]
    assert {name for name in variables if name.startswith("AIRFLOW")} == {
        name for name in environment(settings) if name.startswith("AIRFLOW")
    }
    assert (variables["AIRFLOW_HOME"], variables["TZ"]) == (f"{settings.home}/airflow", "UTC")
    assert not (set(hostile.VARIABLES) - {"AIRFLOW_HOME", "AIRFLOW__CORE__PARALLELISM"}) & set(variables)
    # A task's API client, created in that environment, bypasses the proxy.
    monkeypatch.setattr(os, "environ", variables)
    client = httpx.Client()
    ours, another = (client._transport_for_url(httpx.URL(url)) for url in (settings.airflow_url, "http://elsewhere.example"))
    assert ours is client._transport
    assert another is not client._transport
