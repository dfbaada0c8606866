"""`infra/nodes/start` and `stop`: the real gcloud against the fake API, and their error messages."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

pytest.importorskip("airflow", reason="the fixtures need Airflow; `make test` runs these tests in its environment")

from lakehouse.settings import PROJECT

pytestmark = pytest.mark.timeout(120, method="thread")  # Airflow's own timeouts use the signal

ON = {"node1": "RUNNING", "node2": "RUNNING"}
OFF = {"node1": "TERMINATED", "node2": "TERMINATED"}
needs_gcloud = pytest.mark.skipif(not shutil.which("gcloud"), reason="there is no gcloud on this machine")


@pytest.fixture
def script(world, tmp_path, monkeypatch):
    """Run one of the scripts, with gcloud configured to use the fake."""
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name)
    gcloud = {
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"http://127.0.0.1:{world.cloud.port}/compute/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "True",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "True",
    }

    def run(name, *args, **more):
        environment = {**os.environ, **gcloud, **more}
        return subprocess.run([PROJECT / "infra" / "nodes" / name, *args], env=environment, capture_output=True, text=True, timeout=120)

    return run


@needs_gcloud
def test_start_and_stop_by_hand(world, script):
    done = script("start")
    assert done.returncode == 0, done.stderr
    assert "node1 answers" in done.stdout and "node2 answers" in done.stdout
    assert world.events == ["node1 RUNNING", "node2 RUNNING"]
    world.events.clear()
    done = script("stop")
    assert done.returncode == 0, done.stderr
    assert world.events == ["land drained", "node2 TERMINATED", "node1 TERMINATED"]


@needs_gcloud
def test_stop_by_hand_refuses_a_machine_without_graceful_shutdown(world, script):
    for machine in world.cloud.machines.values():
        machine.enter("RUNNING")
    world.cloud.machines["node2"].graceful_s = 0
    done = script("stop")
    assert done.returncode == 1
    assert "--graceful-shutdown-max-duration=120s" in done.stderr
    assert world.cloud.states() == ON


def test_without_a_project_they_fail_with_the_reason(world, script, tmp_path):
    (tmp_path / "gcloud").symlink_to("/bin/true")
    done = script("start", EBAP_GCP_PROJECT="", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode != 0
    assert "EBAP_GCP_PROJECT is empty" in done.stderr
    assert world.cloud.states() == OFF


def test_the_scripts_pass_shellcheck():
    if not shutil.which("shellcheck"):
        pytest.skip("there is no shellcheck on this machine")
    subprocess.run(["shellcheck", PROJECT / "infra" / "nodes" / "start", PROJECT / "infra" / "nodes" / "stop"], check=True)
