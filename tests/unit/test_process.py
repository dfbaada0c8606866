"""The environment of a process of the platform: nothing of a shell's set-up reaches it, and its own calls go past a proxy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.local import launch
from lakehouse import process
from lakehouse.settings import PROJECT, Settings
from tests import hostile

TAKEN_OVER = ("HOME", "PATH", "https_proxy", "GOOGLE_APPLICATION_CREDENTIALS", "SSL_CERT_FILE", "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT")


@pytest.mark.parametrize("name", hostile.VARIABLES)
def test_a_variable_of_the_shell_reaches_no_part(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, hostile.VARIABLES[name])
    settings = Settings()
    assert name not in launch.environment(settings, {})
    assert launch.environment(settings, {name: "ours"})[name] == "ours"


def test_the_way_to_the_internet_and_the_account_are_taken_over() -> None:
    given = {name: f"/{name}" for name in TAKEN_OVER}
    made = process.inherited(Settings(), given)
    assert {name: made[name] for name in TAKEN_OVER} == given


def test_texts_are_utf_8_and_days_utc_days_wherever_a_part_runs() -> None:
    made = process.inherited(Settings(), {"TZ": "Asia/Kolkata", "LANG": "C", "LC_ALL": "POSIX"})
    assert {name: made.get(name) for name in ("TZ", "LANG", "LC_ALL")} == {"TZ": "UTC", "LANG": "C.UTF-8", "LC_ALL": None}


def _python(code: str, environ: dict[str, str], folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name.startswith("EBAP_")}
    command = [sys.executable, *code.split()] if code.startswith("-m") else [sys.executable, "-c", code]
    return subprocess.run(command, env=bare | environ, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_a_command_begins_by_forgetting_what_its_own_libraries_would_read() -> None:
    code = "import os, time; from lakehouse import process; process.begin(); print(*sorted(os.environ)); print(time.tzname)"
    done = _python(code, hostile.VARIABLES | {"TZ": "Asia/Kolkata", "HOME": "/nowhere"})
    assert done.returncode == 0, done.stderr
    names, zone = done.stdout.splitlines()
    assert not set(names.split()) & set(hostile.VARIABLES)
    assert "HOME" in names.split()
    assert zone == "('UTC', 'UTC')"


def test_what_spark_submit_prepared_for_its_python_stays() -> None:
    code = "import os; from lakehouse import process; process.begin(); print(os.environ['PYSPARK_PYTHON'])"
    done = _python(code, {"PYSPARK_GATEWAY_PORT": "1", "PYSPARK_PYTHON": "ours"})
    assert done.stdout == "ours\n", done.stderr


def test_a_command_runs_without_a_home_and_in_the_plainest_locale() -> None:
    done = _python("-m lakehouse tables", {"LANG": "C", "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr


def test_the_python_of_one_checkout_is_refused_in_another(tmp_path: Path) -> None:
    (tmp_path / "spark_apps" / "lakehouse").mkdir(parents=True)
    done = _python("-m lakehouse tables", {}, tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"runs the code of {PROJECT}, not of {tmp_path}: `make install` here" in done.stderr


def test_hosts_that_a_proxy_is_not_for_are_added_to_those_it_is_not_for_already() -> None:
    settings = Settings(
        kafka_host="kafka", gcs_endpoint="http://emulator:4443", s3_endpoint="https://s3.own", nodes="node1:source@10.0.0.7,node2:spark"
    )
    made = process.past_the_proxy(settings, {"NO_PROXY": "intranet.example, .corp"})
    hosts = made["no_proxy"].split(",")
    assert hosts[:2] == ["intranet.example", ".corp"]
    assert {"127.0.0.1", "localhost", "::1", "kafka", "emulator", "s3.own", "10.0.0.7", "node2"} <= set(hosts)
    assert made["NO_PROXY"] == made["no_proxy"]
    assert "no_grpc_proxy" not in made


CLIENTS = {
    "requests": "import requests; requests.get('http://127.0.0.1:{port}/', timeout=20)",
    "urllib": "import urllib.request; urllib.request.urlopen('http://localhost:{port}/', timeout=20)",
    "grpc": "import grpc; grpc.channel_ready_future(grpc.insecure_channel('127.0.0.1:{port}')).result(20)",
    "gcs": "from google.auth.credentials import AnonymousCredentials as A; from google.cloud import storage;"
    "storage.Client('p', A(), client_options={{'api_endpoint': 'http://127.0.0.1:{port}'}}).bucket('b').exists(timeout=20, retry=None)",
    "kafka": "from kafka import KafkaAdminClient; KafkaAdminClient(bootstrap_servers='127.0.0.1:{port}', request_timeout_ms=5000)",
    "thrift": "from pyhive import hive; hive.connect('127.0.0.1', port={port})",
    "postgres": "import psycopg2; psycopg2.connect('host=127.0.0.1 port={port} connect_timeout=20')",
}
NEVER_BY_PROXY = ("kafka", "thrift", "postgres")


@pytest.mark.parametrize(
    ("kind", "begins"), [*((kind, True) for kind in CLIENTS), *((kind, False) for kind in CLIENTS if kind not in NEVER_BY_PROXY)]
)
def test_a_call_to_a_part_of_the_platform_leaves_the_proxy_alone(kind: str, begins: bool) -> None:
    part, proxy = hostile.Listener(), hostile.Listener()
    environ = proxy.as_proxy() | {"HOME": "/nowhere"}
    code = ("from lakehouse import process; process.begin(); " if begins else "") + CLIENTS[kind].format(port=part.port)
    with hostile.listening(part, proxy):
        client = subprocess.Popen([sys.executable, "-c", code], env=environ, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not (part.calls or proxy.calls):
                assert time.monotonic() < deadline, f"{kind} called nobody"
                time.sleep(0.02)  # between two looks
        finally:
            client.kill()
            client.wait()
    # The other way round without a beginning: the proxy would have been seen.
    assert (part.calls > 0, proxy.calls > 0) == ((True, False) if begins else (False, True))
