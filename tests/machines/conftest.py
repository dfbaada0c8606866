"""Fixtures: a project in the fake cloud with its machines, fakes of Airflow's API and a chat, and DAG runs by Airflow's task runner."""

from __future__ import annotations

import importlib.util
import json
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if importlib.util.find_spec("airflow"):
    _HOME = tempfile.TemporaryDirectory(prefix="ebap-airflow-machines-")  # removed with this module
    os.environ["AIRFLOW_HOME"] = _HOME.name
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).resolve().parents[2] / "dags")
    os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(Path(__file__).resolve().parents[2] / "plugins")

from lakehouse.settings import PROJECT, Settings
from tests import chat
from tests.machines import airflow_api, certificates, cloud
from tests.machines.guests import Guest

_CONNECTION = {"is_anonymous": True, "num_retries": 1}
_ROLES = {"node1": "source", "node2": "spark"}


@dataclass
class World:
    """The fakes and settings of one test."""

    cloud: cloud.Cloud
    guests: dict[str, Guest]
    airflow: airflow_api.AirflowApi
    chat: chat.Chat
    settings: Settings
    run: Callable[..., dict[str, str]]
    events: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def database() -> None:
    """An empty metadata database for Airflow."""
    from airflow.utils import db

    db.initdb()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """One certificate per test run: Google's client reads its trusted authorities once, at import."""
    return certificates.create(tmp_path_factory.mktemp("ca"), cloud.HOST)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, ssl.SSLContext], database: None) -> Iterator[World]:
    """A project with two machines that are off."""
    events: list[str] = []
    guests = {name: Guest(name, role, events) for name, role in _ROLES.items()}
    machines = {name: cloud.Machine(name, on_change=guest.entered) for name, guest in guests.items()}
    fake = cloud.Cloud(project="shop-1", zone="us-central1-a", machines=machines)
    api = airflow_api.AirflowApi()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "airflow_admin").write_text("password")
    with cloud.serving(fake, certificate[1]), airflow_api.serving(api), chat.listening() as alerts:
        ports = {f"EBAP_{name.upper()}_PORT": str(port) for guest in guests.values() for name, port in guest.ports.items()}
        variables = ports | {
            "EBAP_HOME": str(tmp_path),
            "EBAP_GCP_PROJECT": fake.project,
            "EBAP_GCP_ZONE": fake.zone,
            "EBAP_NODES": "node2:spark@127.0.0.1,node1:source@127.0.0.1",
            "EBAP_AIRFLOW_PORT": str(api.port),
            "EBAP_ALERT_URL": alerts.url,
            # Routes Google's unmodified client to the fake.
            "HTTPS_PROXY": f"http://127.0.0.1:{fake.port}",
            "https_proxy": f"http://127.0.0.1:{fake.port}",
            "HTTPLIB2_CA_CERTS": str(certificate[0]),
            "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps({"conn_type": "google_cloud_platform", "extra": _CONNECTION}),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        _shorten_waits(monkeypatch)
        settings = Settings.from_environment()
        world = World(fake, guests, api, alerts, settings, run, events)
        yield world
        for guest in guests.values():
            guest.entered("STOPPING")
            guest.close()


@pytest.fixture
def on(world: World) -> World:
    """The same project with its machines running."""
    for machine in world.cloud.machines.values():
        machine.enter("RUNNING")
    world.events.clear()
    return world


@pytest.fixture
def a_task_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Act as a task of a run of that type, outside working hours."""
    import vm_tasks

    def act(run_type: str) -> None:
        monkeypatch.setattr(vm_tasks, "get_current_context", lambda: {"dag_run": SimpleNamespace(run_type=run_type)})
        monkeypatch.setattr(vm_tasks.plan, "reason_to_run", lambda settings, at: None)

    return act


def run(dag_id: str, limit_s: float = 60) -> dict[str, str]:
    """Run the DAG once, with retries and callbacks; returns each task's state. `limit_s` is every task's execution_timeout."""
    from airflow.dag_processing.dagbag import DagBag

    dag: Any = DagBag(dag_folder=PROJECT / "dags" / "vm.py", bundle_path=PROJECT / "dags").dags[dag_id]
    for task in dag.tasks:
        task.retry_delay = timedelta(milliseconds=100)
        task.execution_timeout = timedelta(seconds=limit_s)
    done = dag.test()
    failed = [instance.task_id for instance in done.get_task_instances() if str(instance.state) == "failed"]
    # A successful give_back does not make the run successful.
    assert (str(done.state) == "failed") is bool(set(failed) - {"give_back"}), (done.state, failed)
    return {instance.task_id: str(instance.state) for instance in done.get_task_instances()}


def _shorten_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.google.cloud.hooks import compute

    import machines

    monkeypatch.setattr(machines, "_POLL_S", 0.1)
    monkeypatch.setattr(machines, "_SERVICES_WITHIN_S", 3)
    monkeypatch.setattr(compute, "TIME_TO_SLEEP_IN_SECONDS", 0.3)
