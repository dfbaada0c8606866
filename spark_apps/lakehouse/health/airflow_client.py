"""DAG runs on demand through Airflow's API: trigger one, wait for its end, report failed tasks."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from lakehouse import wait
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings

_POLL_S = 0.5
_REQUEST_S = 30
# Half a minute in all, for an API that restarts and a DAG that is not parsed yet (404). A run triggered twice has no effect.
_PATIENCE = Retry(total=6, backoff_factor=0.5, status_forcelist=(404, 500, 502, 503, 504), allowed_methods=None)


def is_scheduled(settings: Settings, dag_id: str) -> bool:
    """Whether Airflow's API answers and the DAG is not paused, so that only Airflow should run it."""
    try:
        requests.get(f"{settings.airflow_url}/api/v2/monitor/health", timeout=_REQUEST_S).raise_for_status()
    except requests.RequestException:
        return False
    return not _request(settings, "GET", f"/dags/{dag_id}")["is_paused"]


def trigger(settings: Settings, dag_id: str) -> dict[str, Any]:
    """Create a run, queued behind the one under way; Airflow's answer, with its id and state."""
    created: dict[str, Any] = _request(settings, "POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None})
    return created


def finish(settings: Settings, dag_id: str, limit_s: float) -> list[str]:
    """Trigger a run and wait until it has ended; the ids of its failed tasks."""
    run = trigger(settings, dag_id)
    path = f"/dags/{dag_id}/dagRuns/{run['dag_run_id']}"
    for _ in wait.looks(limit_s, every_s=_POLL_S):
        run = _request(settings, "GET", path)
        if run["state"] in ("success", "failed"):
            break
    else:
        health = _request(settings, "GET", "/monitor/health")["scheduler"]["status"]
        raise NotReadyError(f"run {run['dag_run_id']} of DAG {dag_id} is {run['state']}, the scheduler {health}")
    tasks = _request(settings, "GET", f"{path}/taskInstances")["task_instances"]
    return sorted(task["task_id"] for task in tasks if task["state"] in ("failed", "upstream_failed"))


def active(settings: Settings) -> list[str]:
    """Running and queued runs, as `DAG run`, without those that switch the machines."""
    answer = _request(settings, "GET", "/dags/~/dagRuns?state=running&state=queued&limit=100")
    return [f"{run['dag_id']} {run['dag_run_id']}" for run in answer["dag_runs"] if not run["dag_id"].startswith("vm_")]


def last_tasks(settings: Settings) -> dict[tuple[str, str], dict[str, Any]]:
    """The latest ended try of each task of DAGs `silver` and `gold`: state, ended_at, duration_s and its page.

    A skipped try is replaced by the successful one before it, which has a duration. One request without retries, for a page.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for dag_id in ("silver", "gold"):
        query = "order_by=-end_date&limit=100&state=success&state=failed&state=skipped"
        answer = _request(settings, "GET", f"/dags/{dag_id}/dagRuns/~/taskInstances?{query}", patience=Retry(0), timeout_s=3)
        for task in answer["task_instances"]:
            page = f"{settings.airflow_page}/dags/{dag_id}/runs/{task['dag_run_id']}/tasks/{task['task_id']}"
            ended = {"state": task["state"], "ended_at": task["end_date"], "duration_s": task["duration"], "url": page}
            known = found.setdefault((dag_id, task["task_id"]), ended)
            if known["state"] == "skipped" and ended["state"] == "success":
                found[dag_id, task["task_id"]] = ended
    return found


def _request(settings: Settings, method: str, path: str, patience: Retry = _PATIENCE, timeout_s: int = _REQUEST_S, **arguments: Any) -> Any:
    url = f"{settings.airflow_url}/api/v2{path}"
    try:
        with requests.Session() as http:
            http.mount("http", HTTPAdapter(max_retries=patience))
            login = {"username": "admin", "password": settings.secret("airflow_admin")}
            token = http.post(f"{settings.airflow_url}/auth/token", json=login, timeout=timeout_s)
            token.raise_for_status()
            headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
            answer = http.request(method, url, headers=headers, timeout=timeout_s, **arguments)
            answer.raise_for_status()
    except requests.RequestException as error:
        raise NotReadyError(f"request to Airflow failed: {method} {url}: {error}") from None
    return answer.json()
