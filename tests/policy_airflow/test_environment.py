"""Policy over the environment of Airflow's processes, judged by Airflow's own list of options."""

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


def test_every_setting_is_an_option_airflow_knows(settings):
    from airflow.configuration import conf

    for name in environment(settings):
        if name.startswith("AIRFLOW__"):
            _, section, option = name.lower().split("__", 2)
            assert option in conf.configuration_description.get(section, {}).get("options", {}), name


def test_nothing_listens_beyond_this_machine(settings):
    made = environment(settings)
    assert made["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert made["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "False"
    assert not [value for value in made.values() if "0.0.0.0" in value]


def test_a_password_with_signs_of_its_own_survives_the_address(settings):
    from sqlalchemy.engine import make_url

    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"):
        assert make_url(environment(settings)[name]).password == "airflow_db/@: secret"


@pytest.mark.parametrize("name", [name for name in SECRETS if name != "airflow_admin"])
def test_a_missing_password_file_is_named(settings, name):
    settings.secret_file(name).unlink()
    with pytest.raises(SettingsError, match=name):
        environment(settings)


def test_the_login_file_is_for_its_owner_only(settings, monkeypatch):
    from infra.airflow import __main__ as command
    from infra.airflow import passwords_file

    called = []
    monkeypatch.setattr(command, "_airflow", lambda settings, environment, *words: called.append(words[:2]))
    command.init(settings, {})
    command.init(settings, {})
    assert stat.S_IMODE(passwords_file(settings).stat().st_mode) == 0o600
    # The second time nothing has changed, and a start costs nothing.
    assert called == [("db", "migrate"), ("pools", "import")]


def test_one_pool_a_stored_gold_table_and_one_for_each_other_kind_of_work(settings):
    made = pools.slots(settings)
    others = {pools.SILVER, pools.MACHINES, pools.PLATFORM, pools.RECONCILE}
    assert made.keys() == others | {pools.gold(table) for table in tables.GOLD if not table.is_view}
    assert made[pools.SILVER][0] == settings.silver_slots
    assert made[pools.MACHINES][0] == 1  # a start waits for a stop to end


def test_a_shell_s_own_airflow_and_its_proxies_reach_no_process_of_ours(settings, monkeypatch):
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
    made = started.call_args.args[2]
    assert {name for name in made if name.startswith("AIRFLOW")} == {name for name in environment(settings) if name.startswith("AIRFLOW")}
    assert (made["AIRFLOW_HOME"], made["TZ"]) == (f"{settings.home}/airflow", "UTC")
    assert not (set(hostile.VARIABLES) - {"AIRFLOW_HOME", "AIRFLOW__CORE__PARALLELISM"}) & set(made)
    # A task's client of the API, made in that environment, goes past the proxy.
    monkeypatch.setattr(os, "environ", made)
    client = httpx.Client()
    ours, another = (client._transport_for_url(httpx.URL(url)) for url in (settings.airflow_url, "http://elsewhere.example"))
    assert ours is client._transport
    assert another is not client._transport
