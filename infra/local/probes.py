"""Is a service ready? Each probe asks it something real and raises NotReadyError with what it saw instead.

Clients are imported where they are used: every service is started through a Python that knows all probes, and importing the clients
took it 0.6 CPU seconds, ten times at each start of the platform.
"""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.local import postgres, runs
from lakehouse.settings import Settings
from lakehouse.spark.streaming import report_file

_TIMEOUT_S = 5


class NotReadyError(Exception):
    """What was seen of a service that is not ready."""


def postgres_answers(settings: Settings) -> None:
    """A query over TCP with a password."""
    import psycopg2

    try:
        postgres.connect(settings).close()
    except psycopg2.OperationalError as error:
        raise NotReadyError(str(error).strip().splitlines()[-1]) from error


def broker_answers(settings: Settings) -> None:
    """The broker names its cluster."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    _open(settings.kafka_host, settings.kafka_port)
    try:
        client = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap, request_timeout_ms=_TIMEOUT_S * 1000)
        client.close()
    except (KafkaError, OSError, ValueError) as error:
        raise NotReadyError(f"the broker does not answer: {error}") from error


def connect_answers(settings: Settings) -> None:
    """The REST interface answers, which it does only once the worker has joined its group."""
    _get(f"{settings.connect_url}/connectors")


def spark_answers(settings: Settings) -> None:
    """Spark Connect listens, and the Thrift Server answers a query."""
    from pyhive import hive
    from thrift.transport.TTransport import TTransportException

    _open(settings.spark_host, settings.spark_connect_port)
    _open(settings.spark_host, settings.thrift_port)
    try:
        connection = hive.connect(settings.spark_host, port=settings.thrift_port)
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.fetchall()
        connection.close()
    except (hive.Error, TTransportException, OSError) as error:
        raise NotReadyError(f"the Thrift Server does not answer: {error}") from error


def land_has_landed(settings: Settings) -> None:
    """It has asked Kafka since this start, and a first batch of what there was is committed."""
    _reported_since_start(settings, "land", report_file(settings, "land"), "it has not reported since it started")


def generator_reports(settings: Settings) -> None:
    """The generator has reported since this start."""
    _reported_since_start(settings, "generator", settings.control_dir / "generator.status.json", "it has not reported since it started")


def boards_answer(settings: Settings) -> None:
    """The boards' page answers."""
    _get(f"{settings.boards_url}/health")


def metabase_answers(settings: Settings) -> None:
    """Metabase says that its own start is complete."""
    _get(f"{settings.metabase_address}/api/health")


def airflow_page_answers(settings: Settings) -> None:
    """Airflow's API answers and sees its database."""
    _airflow_part(settings, "metadatabase")


def airflow_scheduler_beats(settings: Settings) -> None:
    """The scheduler's heartbeat is fresh, by Airflow's own judgement."""
    _airflow_part(settings, "scheduler")


def airflow_dag_processor_beats(settings: Settings) -> None:
    """The DAG processor's heartbeat is fresh, by Airflow's own judgement."""
    _airflow_part(settings, "dag_processor")


def _airflow_part(settings: Settings, part: str) -> None:
    health = _get(f"{settings.airflow_url}/api/v2/monitor/health")
    status = (health.get(part) or {}).get("status")
    if status != "healthy":
        raise NotReadyError(f"Airflow calls its {part} {status or 'unknown'}")


def _reported_since_start(settings: Settings, name: str, path: Path, otherwise: str) -> None:
    started_at = runs.read(settings, name).started_at
    if not path.is_file() or started_at is None:
        raise NotReadyError(otherwise)
    if datetime.fromtimestamp(path.stat().st_mtime, UTC) < started_at:
        raise NotReadyError(otherwise)


def _open(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT_S).close()
    except OSError as error:
        raise NotReadyError(f"port {port}: {error.strerror or error}") from error


def _get(url: str) -> Any:
    import requests

    try:
        answer = requests.get(url, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()
    except (requests.RequestException, json.JSONDecodeError) as error:
        raise NotReadyError(f"{url} does not answer ({type(error).__name__})") from error
