"""Client of Airflow's REST API for tests: trigger runs, wait for them, and read task states."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import requests

from lakehouse.settings import Settings
from tests.e2e.conftest import until

_OVER = ("success", "failed")
_TIMEOUT_S = 30


class Airflow:
    """A client of the platform's Airflow, logged in as its admin."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.airflow_url
        login = {"username": "admin", "password": settings.secret("airflow_admin")}
        answer = requests.post(f"{self._url}/auth/token", json=login, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One call of the API; an error shows Airflow's response."""
        answer = requests.request(method, f"{self._url}/api/v2{path}", headers=self._headers, timeout=_TIMEOUT_S, **options)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def trigger(self, dag_id: str) -> str:
        """Start a run; returns its id."""
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None})["dag_run_id"])

    def end_of(self, dag_id: str, run_id: str, limit_s: float = 300) -> str:
        """The final state of the run; waits while the API is temporarily unavailable."""
        until(lambda: self.state(dag_id, run_id) in _OVER, limit_s, f"run {run_id} of {dag_id} to end")
        return self.state(dag_id, run_id)

    def state(self, dag_id: str, run_id: str) -> str:
        """The run's state."""
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The state of each of the run's tasks."""
        shown = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in shown}

    def tries(self, dag_id: str, run_id: str, task_id: str) -> int:
        """The number of tries of the task."""
        return int(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")["try_number"])

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> str:
        """The log of one try of the task."""
        lines = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}")["content"]
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in lines)

    def runs_since(self, dag_id: str, began: datetime) -> list[str]:
        """Ids of the runs that had not ended by then, or started later."""
        shown = self.call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": 50})["dag_runs"]
        return [run["dag_run_id"] for run in shown if run["end_date"] is None or datetime.fromisoformat(run["end_date"]) > began]

    def events_since(self, dag_id: str, began: datetime) -> list[str]:
        """Names of the assets in the events of the DAG's tasks, one per event."""
        wanted = {"source_dag_id": dag_id, "timestamp_gte": began.isoformat(), "limit": 100}
        return [event["name"] for event in self.call("GET", "/assets/events", params=wanted)["asset_events"]]
