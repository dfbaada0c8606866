"""Airflow's API server, DAG processor and scheduler; their environment and their commands are in `infra/airflow`."""

from __future__ import annotations

from functools import partial

from infra.services import probing
from infra.services.step import Command, OneShot, Service, python
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings


def _airflow(command: str) -> Command:
    return python("-m", "infra.airflow", command)


def _is_healthy(part: str, settings: Settings) -> None:
    """Airflow reports that component (`metadatabase`, or one with a heartbeat) as healthy."""
    health = probing.page(f"{settings.airflow_url}/api/v2/monitor/health")
    status = (health.get(part) or {}).get("status")
    if status != "healthy":
        raise NotReadyError(f"Airflow reports its {part} as {status or 'unknown'}")


STEPS = (
    OneShot(
        name="airflow-init",
        doc="Airflow's database, login and pools.",
        command=_airflow("init"),
        after=("databases",),
        folders=("airflow",),
        limit_s=300,
    ),
    Service(
        name="airflow-api",
        doc="Airflow's page and API.",
        command=_airflow("api-server"),
        probe=partial(_is_healthy, "metadatabase"),
        memory_mb=lambda settings: 700,
        url=lambda settings: settings.airflow_page,
        host="airflow_host",
        published=("airflow_port",),
        after=("airflow-init",),
        folders=("airflow",),
        limit_s=400,
    ),
    Service(
        name="airflow-dag-processor",
        doc="Airflow's parser of the DAG files.",
        command=_airflow("dag-processor"),
        probe=partial(_is_healthy, "dag_processor"),
        memory_mb=lambda settings: 450,
        url=lambda settings: settings.airflow_page,
        after=("airflow-init",),
        folders=("airflow",),
        limit_s=400,
    ),
    Service(
        name="airflow-scheduler",
        doc="Airflow's scheduler and its local workers.",
        command=_airflow("scheduler"),
        probe=partial(_is_healthy, "scheduler"),
        memory_mb=lambda settings: 1500,
        url=lambda settings: settings.airflow_page,
        # The first tasks need their tables.
        after=("airflow-init", "catalog"),
        folders=("airflow",),
        limit_s=400,
        # Waits for tasks: a killed one is restarted only after half a minute.
        stop_s=45,
    ),
)
