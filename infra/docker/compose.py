"""`docker-compose.yaml`, rendered from the declaration of the services: `python -m infra.docker.compose` (in `make generated`).

What runs, after what, how it is seen to be ready, its memory and its restart are taken from `infra/services`, addresses from
the settings. This module adds image, volumes, networks, and the steps that lead to the demo's end card. A test fails if the file
differs from the output of this module.
"""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

import yaml

from infra import services
from infra.install import metabase_jar
from infra.services import metabase
from infra.services.step import OneShot, Service, Step, python
from lakehouse import settings
from lakehouse.settings import PROJECT, Settings

FILE = PROJECT / "docker-compose.yaml"
IMAGE = "ebap:0.1.0"
CHECKOUT = "/opt/ebap"  # as infra/docker/ebap.Dockerfile lays it out
HOME = f"{CHECKOUT}/.ebap"

# Each container's host name in the network.
HOSTS = {step.host: step.name for step in services.declared() if isinstance(step, Service) and step.host}
# Settings taken from .env next to docker-compose.yaml. The others determine the content of that file: memory, folders, hosts.
PASSED_ON = (
    "live",
    "eps",
    "max_slot_wal_keep_mb",
    "rate",
    "seed",
    "backfill_days",
    "trigger_s",
    "max_offsets_per_trigger",
    "bronze_keep_days",
    "silver_slots",
    "airflow_parallelism",
    "alert_url",
    "quarantine_alert",
)
# Steps that write passwords; all others only read them.
_WRITE_SECRETS = ("passwords", "metabase-boards")
# The health check runs a Python process next to the service.
PROBE_MB = 128
# A one-shot's Python with the Spark client, or Airflow's commands.
ONE_SHOT_MB = 1024

_HEADER = """\
# The change-data half in containers: `docker compose up`. Everything but Metabase: `docker compose up demo`.
# Both halves: EBAP_LIVE=yes docker compose --profile live up
# Generated from infra/services by `make generated`: change that, or infra/docker/compose.py.
"""


# Steps of `make demo` and `make metabase` between and after the services.
_DEMO: tuple[Step, ...] = (
    OneShot(
        name="past",
        doc="Simulated past days, written before live traffic starts.",
        command=python("-m", "infra.docker.demo", "past"),
        after=("snapshot",),
        folders=("control",),
    ),
    OneShot(
        name="demo",
        doc="Waits until every gold table has rows, and prints the end card.",
        command=python("-m", "infra.docker.demo", "card"),
        after=("generator", "boards", "airflow-api", "airflow-scheduler", "airflow-dag-processor"),
    ),
    OneShot(
        name="metabase-boards",
        doc="Metabase's admin, connection, descriptions and boards.",
        command=python("-m", "dashboards.metabase.provision", "apply"),
        after=("metabase", "catalog"),
    ),
)


def platform() -> list[Step]:
    """Every step that has a container, in declaration order."""
    declared = [*services.steps(container_settings()), metabase.METABASE, *_DEMO]
    return [dataclasses.replace(step, after=(*step.after, "past")) if step.name == "generator" else step for step in declared]


def container_settings() -> Settings:
    """The settings in a container; ports are Compose variables, so that everything derived from them follows."""
    addresses: dict[str, Any] = HOSTS | {
        name.removeprefix("EBAP_").lower(): _given(name, port) for name, port in Settings().ports().items()
    }
    return Settings(home=HOME, bind="0.0.0.0", live="yes", **addresses)


def environment() -> dict[str, str]:
    """The settings passed to containers; all others have their defaults there."""
    chosen, default = container_settings(), Settings()
    names = ["bind", *HOSTS, *(name.removeprefix("EBAP_").lower() for name in default.ports())]
    passed_on = {settings.variable(name): _given(settings.variable(name), "") for name in PASSED_ON}
    return {settings.variable(name): getattr(chosen, name) for name in names} | passed_on


def document() -> dict[str, Any]:
    """The file's content as an object."""
    steps = platform()
    volumes = {volume.partition(":")[0]: None for step in steps for volume in _volumes(step)}
    return {
        "name": "ebap",
        "x-ebap": {
            "image": IMAGE,
            # Built by the first service; never pulled from a registry.
            "pull_policy": "never",
            "environment": environment(),
            "networks": ["platform"],
            "security_opt": ["no-new-privileges:true"],
            "cap_drop": ["ALL"],
            "pids_limit": 1024,
            "logging": {"driver": "json-file", "options": {"max-size": "20m", "max-file": "3"}},
        },
        "services": {step.name: _metabase(step) if step is metabase.METABASE else _container(step, steps) for step in steps},
        "networks": {"platform": None},
        "volumes": volumes,
    }


def render() -> str:
    """The text of the file, with each service's doc above it."""
    content = document()
    docs = {step.name: step.doc for step in platform()}
    containers = [f"  # {docs[name]}\n{textwrap.indent(_yaml({name: one}), '  ')}" for name, one in content.pop("services").items()]
    head = _yaml(content).replace("x-ebap:\n", "\nx-ebap: &ebap\n")
    head = head.replace("\nnetworks:", "\n\nnetworks:").replace("\nvolumes:", "\n\nvolumes:")
    services_text = "\n".join(containers)
    return f"{_HEADER}{head}\nservices:\n{services_text}"


class _Dumper(yaml.SafeDumper):
    """Lists on one line, null as an empty value, and YAML's merge key, which PyYAML reads but does not write."""


def _yaml(value: dict[str, Any]) -> str:
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000)
    return str(text).replace("'<<': '*ebap'", "<<: *ebap")


_Dumper.add_representer(list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True))
_Dumper.add_representer(type(None), lambda dumper, data: dumper.represent_scalar("tag:yaml.org,2002:null", ""))


def _container(step: Step, steps: list[Step]) -> dict[str, Any]:
    container: dict[str, Any] = {"<<": "*ebap"}
    if step.name == "passwords":
        container |= {"build": {"context": ".", "dockerfile": "infra/docker/ebap.Dockerfile"}, "pull_policy": "build"}
    if isinstance(step, Service):
        container["command"] = ["python", "-m", "infra.local.launch", step.name]
        kept = _kept_running(step, ["CMD", "python", "-m", "infra.services.probe", step.name])
    else:
        container["command"] = step.command(container_settings())
        kept = {"mem_limit": f"{ONE_SHOT_MB}m", "restart": "no"}
    if step.is_live:
        container["profiles"] = ["live"]
    if step.after:
        container["depends_on"] = _conditions(step, steps)
    return container | {"volumes": _volumes(step)} | kept


def _metabase(step: Step) -> dict[str, Any]:
    """Metabase's own image, whose entrypoint switches to its own user and therefore needs some capabilities."""
    assert isinstance(step, Service)
    chosen = container_settings()
    secret = {"MB_DB_PASS_FILE": "/secrets/metabase_db", "JAVA_OPTS": f"-Xmx{chosen.metabase_heap_mb}m"}
    return {
        "image": f"metabase/metabase:v{metabase_jar.VERSION}",
        "environment": metabase.variables(chosen) | secret,
        "networks": ["platform"],
        "depends_on": _conditions(step, [*services.steps(chosen)]),
        "volumes": ["secrets:/secrets:ro"],
        **_kept_running(step, ["CMD", "curl", "--fail", "--silent", f"http://127.0.0.1:{chosen.metabase_port}/api/health"]),
    }


def _conditions(step: Step, steps: list[Step]) -> dict[str, Any]:
    is_service = {other.name: isinstance(other, Service) for other in steps}
    return {name: {"condition": f"service_{'healthy' if is_service[name] else 'completed_successfully'}"} for name in step.after}


def _volumes(step: Step) -> list[str]:
    if step is metabase.METABASE:
        return []
    shared = [f"{step.name if folder == 'data' else folder}:{HOME}/{folder}" for folder in step.folders]
    return [*shared, f"secrets:{HOME}/secrets{'' if step.name in _WRITE_SECRETS else ':ro'}"]


def _kept_running(service: Service, probe: list[str]) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "healthcheck": {
            "test": probe,
            # Frequent until the service is ready, because others wait for it; rare afterwards, to save CPU.
            "start_period": f"{service.limit_s}s",
            "start_interval": "5s",
            "interval": "60s",
            "timeout": "30s",
            "retries": 3,
        },
        "mem_limit": f"{service.memory_mb(Settings()) + PROBE_MB}m",
        # "on-failure" would leave the container stopped after a reboot.
        "restart": "unless-stopped",
        "stop_signal": f"SIG{service.stop_signal}",
        "stop_grace_period": f"{service.stop_s}s",
    }
    if service.published:
        keys["ports"] = [f"127.0.0.1:{port}:{port}" for port in (getattr(container_settings(), name) for name in service.published)]
    return keys


def _given(variable: str, default: object) -> str:
    """A variable that Compose substitutes from its environment or from .env."""
    return f"${{{variable}:-{default}}}"


if __name__ == "__main__":
    FILE.write_text(render())
