"""Settings files, passwords and what a run leaves behind."""

from __future__ import annotations

import base64
import dataclasses
import os
import subprocess
import sys

import pytest
from rich.console import Console

from infra.install import halves
from infra.local import stages, status, wiping
from infra.services import connect, kafka, passwords, postgres, runs
from lakehouse.settings import PROJECT, Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=str(tmp_path / "home"), cache=str(tmp_path / "cache"))


def test_passwords_are_made_once_readable_by_their_owner_alone_and_without_a_line_end(settings):
    passwords.generate(settings)
    first = {name: (settings.secrets_dir / name).read_text() for name in passwords.NAMES}
    passwords.generate(settings)
    for name, text in first.items():
        path = settings.secrets_dir / name
        assert path.read_text() == text
        assert path.stat().st_mode & 0o777 == 0o600
        assert text == text.strip() != ""
    assert len(set(first.values())) == len(first)
    assert len(base64.urlsafe_b64decode(first["airflow_fernet"])) == 32


def _prepare_kafka(settings):
    kafka.data_dir(settings).mkdir(parents=True)
    kafka.prepare(settings)
    connect.prepare(settings)


def test_every_address_in_the_brokers_files_is_this_machine(settings):
    _prepare_kafka(settings)
    for name in ("server.properties", "connect.properties"):
        text = (settings.home_dir / "conf/kafka" / name).read_text()
        assert "$" not in text
        listeners = [line for line in text.splitlines() if "listeners=" in line]
        assert listeners
        assert all("://127.0.0.1:" in line for line in listeners)


def test_a_cluster_id_is_sixteen_bytes_and_no_option(settings):
    for _ in range(50):
        made = kafka._cluster_id()
        assert not made.startswith("-")
        assert len(base64.urlsafe_b64decode(made + "==")) == 16


def test_postgres_listens_here_only_and_asks_everybody_for_a_password(settings):
    postgres.data_dir(settings).mkdir(parents=True)
    postgres.prepare(settings)
    conf = (settings.home_dir / "conf/postgres/postgresql.conf").read_text()
    rules = [line for line in (settings.home_dir / "conf/postgres/pg_hba.conf").read_text().splitlines() if not line.startswith("#")]
    assert "listen_addresses = '127.0.0.1'" in conf
    assert "wal_level = logical" in conf
    assert f"max_slot_wal_keep_size = {settings.max_slot_wal_keep_mb}MB" in conf
    assert rules == ["host all all 127.0.0.1/32 scram-sha-256"]


def test_endpoints_name_the_owner_of_the_shop_and_the_file_with_his_password(settings):
    found = status.endpoints(settings)
    assert set(found) >= {"postgres", "kafka", "connect", "thrift", "spark_connect", "airflow"}
    for endpoint in found.values():
        assert set(endpoint) == {"host", "port", "url", "database", "user", "password_file"}
    assert found["postgres"]["database"] == "shop"
    assert found["postgres"]["password_file"] == str(settings.secrets_dir / "shop_owner")


def test_a_log_is_read_from_its_end(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("\n".join(f"line {n}" for n in range(100_000)))
    assert stages.last_lines(log, 2) == "line 99998\nline 99999"
    assert stages.last_lines(tmp_path / "none.log") == "(no log)"


def test_wiping_removes_data_and_keeps_what_was_installed(settings, tmp_path):
    for name in ("data", "lake", "secrets", "venv", "jars"):
        (settings.home_dir / name).mkdir(parents=True)
    settings.cache_dir.mkdir()
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    wiping.wipe(settings, with_cache=False, console=console)
    assert sorted(path.name for path in settings.home_dir.iterdir()) == ["jars", "venv"]
    assert f"removing {settings.home_dir / 'lake'}" in console.export_text()
    wiping.wipe(settings, with_cache=True, console=console)
    assert list(settings.home_dir.iterdir()) == []
    assert not settings.cache_dir.exists()


def test_wiping_begins_anew_with_the_live_half_and_names_what_stays_in_an_own_s3(settings, tmp_path):
    halves.switch_on(settings)
    own = dataclasses.replace(settings, s3_endpoint="http://s3.example:9000")
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    wiping.wipe(own, with_cache=False, console=console)
    assert "wrote to http://s3.example:9000 stays" in console.export_text()
    assert not settings.live_choice.exists()


def _orphan(folder):
    """A process whose parent, the leader of their group, is dead; returns the group and the orphan's id."""
    code = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid)"
    leader = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True)
    out, _ = leader.communicate()
    return leader.pid, int(out)


def test_what_a_dead_service_left_behind_is_found_and_nothing_else(settings, tmp_path):
    group, mine = _orphan(PROJECT)
    other_group, elsewhere = _orphan(tmp_path)
    try:
        (settings.home_dir / "run").mkdir(parents=True)
        (settings.home_dir / "run/airflow-scheduler.json").write_text(f'{{"pid": {group}}}')
        (settings.home_dir / "run/kafka.json").write_text(f'{{"pid": {other_group}}}')
        assert [process.pid for process in runs.leftovers(settings, "airflow-scheduler")] == [mine]
        assert runs.leftovers(settings, "kafka") == [], "a process that works elsewhere is not ours, whatever its group's number"
        runs.end_all(runs.leftovers(settings, "airflow-scheduler"), patience_s=0)
        assert runs.leftovers(settings, "airflow-scheduler") == []
    finally:
        os.kill(elsewhere, 9)


def test_a_start_by_a_person_counts_from_zero(settings):
    runs.begin(settings, "kafka")
    runs.begin(settings, "kafka")
    assert runs.read(settings, "kafka").restarts == 1
    runs.forget(settings, "kafka")
    runs.begin(settings, "kafka")
    assert runs.read(settings, "kafka").restarts == 0


def test_services_that_do_not_share_a_loopback_listen_widely_and_are_named(settings):
    apart = dataclasses.replace(settings, bind="0.0.0.0", kafka_host="kafka", connect_host="connect", postgres_host="postgres")
    _prepare_kafka(apart)
    postgres.data_dir(apart).mkdir(parents=True)
    postgres.prepare(apart)
    broker_file = (apart.home_dir / "conf/kafka/server.properties").read_text()
    assert f"listeners=PLAINTEXT://0.0.0.0:{apart.kafka_port},CONTROLLER://127.0.0.1:" in broker_file
    assert f"advertised.listeners=PLAINTEXT://kafka:{apart.kafka_port}\n" in broker_file
    worker_file = (apart.home_dir / "conf/kafka/connect.properties").read_text()
    assert f"bootstrap.servers=kafka:{apart.kafka_port}\n" in worker_file
    assert "rest.advertised.host.name=connect\n" in worker_file
    assert "listen_addresses = '0.0.0.0'" in (apart.home_dir / "conf/postgres/postgresql.conf").read_text()
    rules = (apart.home_dir / "conf/postgres/pg_hba.conf").read_text().splitlines()[1:]
    assert rules == ["host all all samenet scram-sha-256"]
    assert apart.shop_dsn.startswith("host=postgres ")
    # People still come from this machine.
    assert status.endpoints(apart)["postgres"]["host"] == "127.0.0.1"
    assert status.endpoints(apart)["kafka"]["url"] == f"kafka:{apart.kafka_port}"
