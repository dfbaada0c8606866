"""The Compose file equals what is rendered from the services, and policies for every container."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import services
from infra.docker import compose
from infra.services import passwords
from infra.services.step import OneShot, Service
from lakehouse.settings import LOOPBACK, PROJECT, Settings

FILE: dict[str, Any] = yaml.safe_load(compose.FILE.read_text())
CONTAINERS: dict[str, dict[str, Any]] = FILE["services"]
# The steps of the local runner; the folder is read only for a downloaded Metabase.
LOCAL = {step.name: step for step in services.steps(Settings(home="/nowhere", live="yes"))}


def _filled_in(text: str) -> str:
    """The text as Compose reads it with no variable set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def test_the_file_is_up_to_date():
    assert compose.FILE.read_text() == compose.render(), "run `make generated`"


def test_every_step_of_the_local_runner_has_a_container_and_only_the_demos_steps_are_added():
    assert set(CONTAINERS) - set(LOCAL) == {"metabase", "past", "demo", "metabase-boards"}
    assert set(LOCAL) <= set(CONTAINERS)


@pytest.mark.parametrize("name", LOCAL)
def test_a_container_waits_for_what_the_local_runner_waits_for(name):
    waits = {other: how["condition"] for other, how in CONTAINERS[name].get("depends_on", {}).items()}
    kinds = {
        other: "service_completed_successfully" if isinstance(LOCAL[other], OneShot) else "service_healthy" for other in LOCAL[name].after
    }
    assert waits == kinds | ({"past": "service_completed_successfully"} if name == "generator" else {})


@pytest.mark.parametrize("name", [name for name, step in LOCAL.items() if isinstance(step, Service)])
def test_a_service_has_its_launcher_its_probe_and_its_memory(name):
    container, service = CONTAINERS[name], LOCAL[name]
    assert isinstance(service, Service)
    assert container["command"][-2:] == ["infra.local.launch", name]
    assert container["healthcheck"]["test"][-2:] == ["infra.services.probe", name]
    assert container["mem_limit"] == f"{service.memory_mb(Settings()) + compose.PROBE_MB}m"
    assert container["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", [name for name, step in LOCAL.items() if isinstance(step, OneShot)])
def test_a_one_shot_runs_its_declared_command_once(name):
    assert CONTAINERS[name]["command"][1:] == LOCAL[name].command(Settings(home=compose.HOME))[1:]
    assert CONTAINERS[name]["restart"] == "no"


def test_a_container_has_the_local_settings_except_addresses():
    given = {name: _filled_in(value) for name, value in FILE["x-ebap"]["environment"].items()}
    in_container, local = Settings.from_environment(given), Settings()
    addresses = {"bind", *compose.HOSTS}
    for field in vars(local):
        expected = compose.container_settings() if field in addresses else local
        assert getattr(in_container, field) == getattr(expected, field), field


def test_every_host_is_a_container_and_every_host_setting_has_one():
    assert set(compose.HOSTS.values()) <= set(CONTAINERS)
    assert set(compose.HOSTS) == {field for field in vars(Settings()) if field.endswith("_host")} - {"public_host"}


def test_every_container_has_limits_a_health_check_or_an_end_and_one_network():
    for name, container in CONTAINERS.items():
        assert container["mem_limit"], name
        assert "healthcheck" in container or container["restart"] == "no", name
        assert container["networks"] == ["platform"], name


def test_ports_are_published_on_localhost_only():
    published = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    declared = {step.name: step.published for step in services.declared() if isinstance(step, Service) and step.published}
    assert set(published) == set(declared) >= {"postgres", "spark", "boards"}
    for name, ports in published.items():
        expected = [f"{LOOPBACK}:{port}:{port}" for port in (getattr(Settings(), field) for field in declared[name])]
        assert [_filled_in(port) for port in ports] == expected


def test_images_have_versions_and_our_own_is_never_pulled():
    for name, container in CONTAINERS.items():
        tag = container["image"].rpartition(":")[2]
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), name
        assert name == "metabase" or container["pull_policy"] in ("never", "build"), name
    assert [name for name, container in CONTAINERS.items() if "build" in container] == ["passwords"]


def test_no_container_is_root_or_may_become_it():
    dockerfile = (PROJECT / "infra" / "docker" / "ebap.Dockerfile").read_text()
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001"]
    assert "syntax=" not in dockerfile
    for name, container in CONTAINERS.items():
        # Metabase's own entrypoint starts as root and switches to its own user.
        assert name == "metabase" or (container["cap_drop"] == ["ALL"] and container["security_opt"] == ["no-new-privileges:true"]), name


def test_the_image_s_install_step_has_every_file_that_it_imports(tmp_path: Path):
    text = (PROJECT / "infra" / "docker" / "ebap.Dockerfile").read_text().partition("RUN --mount")[0].replace("\\\n", " ")
    for sources, target in re.findall(r"^COPY --chown=\S+ (.+) (\S+)$", text, re.MULTILINE):
        for source in map(PROJECT.joinpath, sources.split()):
            copy = tmp_path / target if source.is_dir() else tmp_path / target / source.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    # Nothing is installed there yet, so only the standard library may be imported.
    done = subprocess.run([sys.executable, "-I", "-S", "infra/install", "home"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_passwords_are_files_of_one_volume_that_only_two_steps_may_write():
    writers = {
        name for name, one in CONTAINERS.items() if [v for v in one["volumes"] if v.startswith("secrets:") and not v.endswith(":ro")]
    }
    assert writers == {"passwords", "metabase-boards"}
    variables = [f"{name}={value}" for one in CONTAINERS.values() for name, value in one["environment"].items()]
    assert [line for line in variables if re.search("pass|secret|token", line, re.IGNORECASE)] == ["MB_DB_PASS_FILE=/secrets/metabase_db"]
    assert "metabase_db" in passwords.NAMES


def test_every_volume_is_named_and_every_folder_has_one_of_its_own():
    used = {volume.partition(":")[0] for one in CONTAINERS.values() for volume in one["volumes"]}
    assert used == set(FILE["volumes"])
    assert {name for name, step in LOCAL.items() if "data" in step.folders} == {"postgres", "kafka", "s3"}
