"""The servers of the live half as real processes: logins, Iceberg tables on S3 by SQL, and one line for what is in the way."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow.fs import FileSelector, S3FileSystem
from redis import AuthenticationError, Redis

from infra import services
from infra.services import redis, s3
from lakehouse.errors import EbapError, NotReadyError
from lakehouse.live import trino
from lakehouse.settings import PROJECT, Settings
from tests.e2e.conftest import Platform, free_ports

pytestmark = pytest.mark.e2e

SERVERS = ("redis", "s3", "trino")


@pytest.fixture(scope="module")
def servers() -> Iterator[Platform]:
    """Redis, S3 and Trino with the Postgres of their catalog, in a home folder of their own."""
    with tempfile.TemporaryDirectory(prefix="ebap-live-") as folder:
        home, base = Path(folder), Settings.from_environment()
        for name in ("venv", "jars"):
            (home / name).symlink_to(base.home_dir / name)
        environ = {**os.environ, **free_ports(), "EBAP_HOME": folder, "EBAP_LAKE": "", "EBAP_LIVE": "yes"}
        made = Platform(Settings.from_environment(environ), environ)
        try:
            made.run("infra.local", "up", *SERVERS, limit_s=400)
            yield made
        finally:
            made.run("infra.local", "down", limit_s=200)


def start(platform: Platform, *names: str, **variables: str) -> tuple[int, str]:
    """Exit code and output of a start with these variables."""
    command = [sys.executable, "-m", "infra.local", "up", *names]
    done = subprocess.run(command, env={**platform.environ, **variables}, cwd=PROJECT, capture_output=True, text=True, timeout=200)
    return done.returncode, done.stdout + done.stderr


def secrets_of(platform: Platform) -> list[str]:
    return [platform.settings.secret(name) for name in ("redis", "s3_access_key", "s3_secret_key", "iceberg_db")]


def store(platform: Platform, secret_key: str) -> S3FileSystem:
    settings = platform.settings
    address = f"{settings.s3_host}:{settings.s3_port}"
    return S3FileSystem(access_key=settings.secret("s3_access_key"), secret_key=secret_key, endpoint_override=address, scheme="http")


def test_each_server_is_ready_within_its_share_of_memory(servers: Platform) -> None:
    found = {row["name"]: row for row in servers.status()["services"] if row["name"] in SERVERS}
    assert {name: row["state"] for name, row in found.items()} == dict.fromkeys(SERVERS, "ready")
    assert all(0 < row["pss_mb"] <= row["memory_mb"] for row in found.values()), found


def test_redis_answers_with_its_password_alone(servers: Platform) -> None:
    settings = servers.settings
    redis.answers(settings)
    for password in (None, "wrong"):
        with (
            closing(Redis(host=settings.redis_host, port=settings.redis_port, password=password)) as client,
            pytest.raises(AuthenticationError),
        ):
            client.ping()


def test_redis_keeps_nothing_and_frees_the_key_that_ends_first(servers: Platform) -> None:
    settings = servers.settings
    with closing(Redis(host=settings.redis_host, port=settings.redis_port, password=settings.secret("redis"))) as client:
        kept: Any = client.config_get("save", "appendonly", "maxmemory", "maxmemory-policy")
    assert kept == {
        "save": "",
        "appendonly": "no",
        "maxmemory": str(64 << 20),
        "maxmemory-policy": "volatile-ttl",
    }


def test_the_object_store_refuses_a_wrong_key_and_has_the_two_buckets(servers: Platform) -> None:
    right = store(servers, servers.settings.secret("s3_secret_key"))
    assert {entry.base_name for entry in right.get_file_info(FileSelector(""))} == set(s3.BUCKETS)
    with pytest.raises(OSError, match=r"SignatureDoesNotMatch|ACCESS_DENIED|Forbidden|signature"):
        store(servers, "wrong").get_file_info(FileSelector(""))


def test_trino_writes_and_reads_an_iceberg_table_on_the_object_store(servers: Platform) -> None:
    settings = servers.settings
    for statement in (
        "CREATE SCHEMA IF NOT EXISTS iceberg.trial",
        "CREATE TABLE iceberg.trial.clicks (at timestamp(6) with time zone, region varchar, n bigint) "
        "WITH (partitioning = ARRAY['day(at)', 'region'])",
        "INSERT INTO iceberg.trial.clicks VALUES (TIMESTAMP '2026-11-28 08:00:00 UTC', 'EMEA', 1),"
        " (TIMESTAMP '2026-11-28 09:00:00 UTC', 'EMEA', 2), (TIMESTAMP '2026-11-29 08:00:00 UTC', 'APAC', 4)",
    ):
        trino.query(settings, statement)
    assert trino.query(settings, "SELECT region, sum(n) FROM iceberg.trial.clicks GROUP BY 1 ORDER BY 1").rows == (("APAC", 4), ("EMEA", 3))
    assert trino.query(settings, 'SELECT count(*) FROM iceberg.trial."clicks$partitions"').rows == ((2,),)
    files = store(servers, settings.secret("s3_secret_key")).get_file_info(FileSelector("silver/iceberg/trial", recursive=True))
    assert sum(file.path.endswith(".parquet") for file in files) == 2


def test_a_killed_trino_and_store_come_back_with_their_tables(servers: Platform) -> None:
    trino.query(servers.settings, "CREATE SCHEMA IF NOT EXISTS iceberg.trial")
    trino.query(servers.settings, "CREATE TABLE iceberg.trial.kept AS SELECT 42 AS n")
    servers.kill("s3")
    servers.kill("trino")
    assert trino.query(servers.settings, "SELECT n FROM iceberg.trial.kept").rows == ((42,),)


def test_a_wrong_statement_is_an_error_with_trino_s_own_words(servers: Platform) -> None:
    with pytest.raises(EbapError, match="mismatched input"):
        trino.query(servers.settings, "SELEC 1")


def test_no_secret_stands_on_a_command_line_or_in_a_file_for_others(servers: Platform) -> None:
    found = [Path(f"/proc/{row['pid']}/cmdline").read_bytes().decode() for row in servers.status()["services"] if row["pid"]]
    assert len(found) >= len(SERVERS)
    assert not [line for line in found if any(secret in line for secret in secrets_of(servers))]
    for path in (servers.settings.home_dir / "conf").rglob("*"):
        if path.is_file() and any(secret in path.read_text(errors="replace") for secret in secrets_of(servers)):
            assert path.stat().st_mode & 0o077 == 0, path


def test_every_port_is_a_setting_and_listens_on_the_bind_address_alone(servers: Platform) -> None:
    allowed = {port for name, port in servers.settings.ports().items() if re.search("REDIS|S3|TRINO|POSTGRES", name)}
    for row in servers.status()["services"]:
        if row["name"] in SERVERS:
            listening = {(host, port) for host, port in _listening(row["pid"])}
            assert {host for host, _ in listening} == {"127.0.0.1"}, (row["name"], listening)
            assert {port for _, port in listening} <= allowed, (row["name"], listening)


def _listening(pid: int) -> set[tuple[str, int]]:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    found = [each for process in processes for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return {(each.laddr.ip.removeprefix("::ffff:"), each.laddr.port) for each in found}


def test_a_taken_port_is_one_line_before_anything_starts(servers: Platform) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, output = start(servers, "trino", EBAP_TRINO_PORT=str(port))
    (line,) = [line for line in output.splitlines() if line.startswith("error")]
    assert code == 1
    assert f"port {port} is taken by process {os.getpid()}" in line
    assert "set EBAP_TRINO_PORT to a free port" in line
    assert "✓" not in output


def test_an_s3_that_does_not_answer_is_one_line_before_anything_starts(servers: Platform) -> None:
    code, output = start(servers, "trino", EBAP_S3_ENDPOINT="http://127.0.0.1:1")
    (line,) = [line for line in output.splitlines() if line.startswith("error")]
    assert code == 1
    assert "port 1" in line
    assert "EBAP_S3_ENDPOINT" in line
    assert "✓" not in output


def test_another_s3_is_used_in_place_of_one_here(servers: Platform) -> None:
    other = dataclasses.replace(servers.settings, s3_endpoint=f"http://127.0.0.1:{servers.settings.s3_port}")
    s3.answers(other)
    assert "s3" not in {step.name for step in services.steps(other)}
    with pytest.raises(NotReadyError, match="port 1:"):
        s3.answers(dataclasses.replace(other, s3_endpoint="http://127.0.0.1:1"))
