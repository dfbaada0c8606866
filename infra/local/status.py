"""Status of the platform as one JSON object: services with measured memory, endpoints, and tables with their age."""

from __future__ import annotations

import concurrent.futures
from typing import Any
from urllib.parse import urlsplit

from psycopg2.extensions import parse_dsn

from infra.local import memory, outcomes
from infra.local.supervision import Supervisor, find
from infra.services import runs, services, steps
from infra.services.step import Service, Step
from lakehouse.errors import NotReadyError
from lakehouse.settings import LOOPBACK, Settings


def collect(settings: Settings) -> dict[str, Any]:
    """The object of `make status JSON=1`; `error` is why the tables could not be read: lists are empty, `delays` null."""
    running = services(settings)
    measured = memory.measure(settings, running)
    states = service_states(settings, measured)
    found, error = _lake(settings)
    answer = {"services": states, "endpoints": endpoints(settings), **found}
    answer["memory"] = memory.by_half(settings, running, measured)
    return answer | ({"error": error} if error else {})


def service_states(settings: Settings, measured: dict[str, float]) -> list[dict[str, Any]]:
    """Each service and step: name, state, url, pid, restarts; `measured` is each service's memory in MB."""
    supervisor = find(settings)
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda step: _service(settings, supervisor, step, measured), steps(settings)))


def endpoints(settings: Settings) -> dict[str, dict[str, Any]]:
    """Address of each service, and the file with its password if it has one."""
    source = parse_dsn(settings.shop_dsn)
    public = settings.public_host
    host = source.get("host", LOOPBACK) if settings.source_dsn else public
    port = int(source.get("port", 5432))
    return {
        "postgres": {
            "host": host,
            "port": port,
            "url": f"postgresql://{host}:{port}/{source['dbname']}",
            "database": source["dbname"],
            "user": source["user"],
            "password_file": str(settings.secret_file("shop_owner")),
        },
        # Clients must use the broker's advertised name, and only services connect to the worker.
        "kafka": _endpoint(settings.kafka_host, settings.kafka_port, settings.kafka_bootstrap),
        "connect": _endpoint(settings.connect_host, settings.connect_port, settings.connect_url),
        "thrift": _endpoint(public, settings.thrift_port, f"jdbc:hive2://{public}:{settings.thrift_port}/gold", database="gold"),
        "spark_connect": _endpoint(public, settings.spark_connect_port, f"sc://{public}:{settings.spark_connect_port}"),
        "boards": _endpoint(public, settings.boards_port, settings.boards_page),
        "airflow": _endpoint(
            public,
            settings.airflow_port,
            settings.airflow_page,
            user="admin",
            password_file=str(settings.secret_file("airflow_admin")),
        ),
    } | (_of_live_half(settings) if settings.is_live else {})


def _of_live_half(settings: Settings) -> dict[str, dict[str, Any]]:
    public = settings.public_host
    address = urlsplit(settings.s3_address)
    return {
        "redis": _endpoint(
            public,
            settings.redis_port,
            f"redis://{public}:{settings.redis_port}",
            password_file=str(settings.secret_file("redis")),
        ),
        "s3": _endpoint(
            address.hostname or public,
            address.port or settings.s3_port,
            settings.s3_address,
            password_file=str(settings.secret_file("s3_secret_key")),
        ),
        "trino": _endpoint(public, settings.trino_port, f"http://{public}:{settings.trino_port}", database="iceberg.ebap"),
    }


def _service(settings: Settings, supervisor: Supervisor | None, step: Step, measured: dict[str, float]) -> dict[str, Any]:
    if not isinstance(step, Service):
        return {"name": step.name, "state": outcomes.read(settings, step.name), "url": None, "pid": None, "restarts": 0}
    info = supervisor.states().get(step.name, {}) if supervisor else {}
    run = runs.read(settings, step.name)
    return {
        "name": step.name,
        "state": _state(settings, step, info),
        "url": step.url(settings),
        "pid": info.get("pid") or None,
        "restarts": run.restarts,
        "pss_mb": measured.get(step.name),
        "memory_mb": step.memory_mb(settings),
    }


def _state(settings: Settings, service: Service, info: dict[str, Any]) -> str:
    name = info.get("statename", "STOPPED")
    if name == "FATAL" or (name == "EXITED" and info["exitstatus"] != 0):
        return "failed"
    if name not in ("RUNNING", "STARTING", "BACKOFF"):
        return "stopped"
    try:
        service.probe(settings)
    except NotReadyError:
        return "starting"
    return "ready" if name != "BACKOFF" else "starting"


def _lake(settings: Settings) -> tuple[dict[str, Any], str | None]:
    """Status of the tables from their logs and the platform's Postgres, without Spark."""
    nothing: dict[str, Any] = {"tables": [], "waiting": [], "delays": None, "left_out": []}
    # Imports Arrow, which is not needed to start services.
    from lakehouse.health import status as lake

    try:
        return lake.lake_status(settings), None
    except Exception as error:  # status must work in any state of the lake
        return nothing, f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"


def _endpoint(host: str, port: int, url: str, **more: str) -> dict[str, Any]:
    fields = {"database": None, "user": None, "password_file": None}
    return {"host": host, "port": port, "url": url, **fields, **more}
