"""What holds for every service of the local platform, whoever adds one."""

from __future__ import annotations

import configparser
import dataclasses
import os
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from rich.console import Console

from infra import services
from infra.install import halves
from infra.local import __main__ as local
from infra.local import launch, memory, supervision
from infra.local.launch import environment
from infra.services import passwords, runs
from infra.services.step import OneShot
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings
from tests.refusals import refused


@pytest.fixture
def settings(tmp_path):
    return Settings(home=str(tmp_path / "home"))


def test_every_service_has_a_probe_a_memory_share_and_an_address(settings):
    settings = dataclasses.replace(settings, live="yes")
    passwords.generate(settings)
    nowhere = {name.removeprefix("EBAP_").lower(): 1 for name in settings.ports()}
    for service in services.services(settings):
        # Nothing runs in this home folder, so a probe that finds its service ready would find anything ready.
        with pytest.raises(NotReadyError):
            service.probe(dataclasses.replace(settings, **nowhere))
        assert service.memory_mb(settings) > 0, service.name
        assert service.url(settings), service.name
        assert service.doc.endswith("."), service.name


def test_the_shares_of_each_half_stay_within_its_budget(settings):
    both = services.services(dataclasses.replace(settings, live="yes"))
    change_data, live = (sum(each.memory_mb(settings) for each in both if each.is_live is is_live) for is_live in (False, True))
    assert change_data <= halves.CHANGE_DATA.budget_mb == 10_240
    # Reserved for the two services that the live half does not have yet.
    assert live + 400 <= halves.LIVE.budget_mb == 4_096


def test_what_is_declared_live_is_what_the_live_half_adds(settings):
    alone, both = (services.steps(dataclasses.replace(settings, live=choice)) for choice in ("no", "yes"))
    assert {step.name for step in both} - {step.name for step in alone} == {step.name for step in both if step.is_live}
    assert {"redis", "s3", "trino", "activity"} <= {step.name for step in both if step.is_live}
    own_s3 = services.steps(dataclasses.replace(settings, live="yes", s3_endpoint="http://s3.example:9000"))
    assert {step.name for step in both} - {step.name for step in own_s3} == {"s3"}


@pytest.mark.parametrize(("began_after_s", "restarted"), [(-60, ["spark"]), (60, [])])
def test_adding_the_live_half_restarts_a_warm_server_that_does_not_know_it(settings, monkeypatch, began_after_s, restarted):
    halves.switch_on(settings)
    began = datetime.fromtimestamp(settings.live_choice.stat().st_mtime + began_after_s, UTC)
    stopped = []
    start = MagicMock(return_value=0)
    monkeypatch.setattr(runs, "read", lambda settings, name: runs.Run(pid=1, started=began.isoformat(), starts=1))
    monkeypatch.setattr(supervision, "find", lambda settings: "a supervisor")
    monkeypatch.setattr(supervision, "stop", lambda settings, supervisor, service: stopped.append(service.name))
    monkeypatch.setattr(local, "_start", start)
    assert local.add_live(local.parser().parse_args(["live"]), settings, Console()) == 0
    assert stopped == restarted
    assert {"spark", "redis", "trino"} <= {step.name for step in start.call_args.args[2]}


def test_memory_is_shown_by_half(settings):
    measured = {"postgres": 100.0, "kafka": 200.5, "redis": 30.0, "trino": 900.0}
    live = dataclasses.replace(settings, live="yes")
    shown = memory.by_half(live, services.services(live), measured)
    assert shown == {"pss_mb": 300.5, "budget_mb": 10_240, "live": {"pss_mb": 930.0, "budget_mb": 4_096}}
    assert memory.by_half(settings, services.services(settings), {"kafka": 1.0}) == {"pss_mb": 1.0, "budget_mb": 10_240}


def _step(name, *after):
    return OneShot(name=name, doc="A step.", command=lambda settings: [], after=after)


def test_steps_are_put_in_the_order_of_what_they_come_after():
    steps = [_step("last", "middle", "first"), _step("middle", "first"), _step("first")]
    assert [step.name for step in services.in_order(steps)] == ["first", "middle", "last"]


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ([_step("one", "onne")], "one comes after onne"),
        ([_step("one"), _step("one")], "one is declared twice"),
        ([_step("one", "other"), _step("other", "one")], "cycle"),
    ],
)
def test_steps_that_cannot_be_put_in_order_are_refused(steps, fault):
    with pytest.raises(ValueError, match=fault):
        services.in_order(steps)


def test_the_names_others_rely_on_are_there(settings):
    airflow = {"airflow-scheduler", "airflow-dag-processor", "airflow-api"}
    relied_on = airflow | {"postgres", "kafka", "connect", "land", "spark", "boards", "generator"}
    assert relied_on <= {service.name for service in services.services(settings)}


def test_traffic_begins_after_the_snapshot_and_the_snapshot_after_the_seed(settings):
    steps = {step.name: step for step in services.steps(settings)}
    assert "snapshot" in steps["generator"].after
    assert "shop-seed" in steps["capture"].after


def test_a_source_of_ones_own_gets_no_simulated_shop(settings):
    own = dataclasses.replace(settings, source_dsn="host=db.example dbname=real user=owner")
    names = {step.name for step in services.steps(own)}
    assert not names & {"generator", "shop-schema", "shop-seed", "snapshot"}
    assert all(set(step.after) <= names for step in services.steps(own))


def test_every_jvm_has_a_limit_for_heap_and_direct_memory(settings):
    for name in ("kafka", "connect"):
        words = services.service(settings, name).command(settings)
        assert any(word.startswith("-Xmx") for word in words), name
        assert any(word.startswith("-XX:MaxDirectMemorySize=") for word in words), name


def test_files_with_secrets_of_the_live_half_are_for_their_owner_alone(settings):
    passwords.generate(settings)
    for name, secrets in {"redis": ("redis",), "s3": ("s3_access_key", "s3_secret_key"), "trino": ("iceberg_db", "s3_secret_key")}.items():
        services.service(dataclasses.replace(settings, live="yes"), name).prepare(settings)
        found = {path: path.read_text() for path in (settings.home_dir / "conf").rglob("*") if path.is_file()}
        for secret in map(settings.secret, secrets):
            holders = [path for path, text in found.items() if secret in text]
            assert holders, (name, secrets)
            assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


def test_every_port_of_the_object_store_is_given(settings):
    line = services.service(dataclasses.replace(settings, live="yes"), "s3").command(settings)
    given = {word.partition("=")[0] for word in line if ".port" in word and not word.endswith("=0")}
    assert given == {f"-{part}.port{grpc}" for part in ("master", "volume", "filer", "s3", "admin") for grpc in ("", ".grpc")}


def test_an_unknown_service_is_answered_with_those_there_are(settings):
    with refused("'kafak'", cure="kafka"):
        services.service(settings, "kafak")


def test_the_supervisor_keeps_each_service_running_and_rotates_its_log(settings):
    conf = configparser.ConfigParser(interpolation=None)
    conf.read_string(supervision.render(settings))
    for service in services.services(settings):
        program = conf[f"program:{service.name}"]
        assert program["command"].endswith(f"-m infra.local.launch {service.name}")
        assert program["autorestart"] == ("true" if service.restart == "always" else "unexpected")
        assert program["killasgroup"] == "true"
        assert program["stdout_logfile_maxbytes"] == "20MB"
    assert {section.removeprefix("program:") for section in conf if section.startswith("program:")} == {
        service.name for service in services.services(settings)
    }


def test_land_is_asked_to_stop_and_stays_stopped_once_it_did(settings):
    land = services.service(settings, "land")
    assert land.stop_request is not None
    assert land.stop_request(settings).parent == settings.control_dir
    assert land.restart == "on-failure"


def test_a_percent_sign_in_the_home_folder_is_no_variable_of_the_supervisor(tmp_path):
    text = supervision.render(Settings(home=str(tmp_path / "100%s")))
    assert "100%%s/logs/kafka.log" in text


def test_the_socket_of_a_deep_home_folder_is_short_enough_for_the_kernel(tmp_path):
    deep = Settings(home=str(tmp_path / ("d" * 120)))
    path = supervision.socket_path(deep)
    assert len(str(path)) < 100
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rmdir()


def test_every_process_reads_the_same_settings(settings):
    given = {name: value for name, value in environment(settings, {}).items() if name.startswith("EBAP_")}
    assert Settings.from_environment(given) == settings


def test_a_service_starts_with_the_settings_of_the_last_command_and_not_of_the_supervisors_start(settings, monkeypatch):
    given = []
    monkeypatch.setattr(os, "execvpe", lambda *call: given.append(call[2]))
    monkeypatch.setattr(os, "environ", environment(dataclasses.replace(settings, live="no"), {}))
    Path(settings.home, "run").mkdir(parents=True)
    launch.keep(dataclasses.replace(settings, live="yes", trigger_s=7))
    passwords.generate(settings)
    launch.main("clicks")
    assert (given[0]["EBAP_LIVE"], given[0]["EBAP_TRIGGER_S"]) == ("yes", "7")
    assert (Path(settings.home, "run") / "settings.json").stat().st_mode & 0o77 == 0


def test_no_password_stands_in_the_supervisors_settings(settings):
    passwords.generate(settings)
    text = supervision.render(settings)
    assert not [name for name in passwords.NAMES if settings.secret(name) in text]
