"""Fake of Airflow's REST API: login, active runs, and triggered runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.serving import answering
from tests.serving import serving as listening


@dataclass
class AirflowApi:
    """The active runs; `trigger` returns the task states of a triggered DAG."""

    active: list[tuple[str, str]] = field(default_factory=list)
    trigger: Callable[[str], dict[str, str]] = lambda dag_id: {}
    port: int = 0
    triggered: list[str] = field(default_factory=list)
    _states: dict[str, str] = field(default_factory=dict)

    def answer(self, method: str, path: str) -> dict[str, Any]:
        """The body of one response."""
        if path.startswith("/auth/token"):
            return {"access_token": "token"}
        if path.startswith("/api/v2/dags/~/dagRuns"):
            return {"dag_runs": [{"dag_id": dag_id, "dag_run_id": run_id} for dag_id, run_id in self.active]}
        if path.endswith("/taskInstances"):
            return {"task_instances": [{"task_id": name, "state": state} for name, state in self._states.items()]}
        if method == "POST":
            dag_id = path.split("/")[4]
            self.triggered.append(dag_id)
            self._states = self.trigger(dag_id)
        return {"dag_run_id": "manual__1", "state": "failed" if "failed" in self._states.values() else "success"}


@contextmanager
def serving(api: AirflowApi) -> Iterator[None]:
    """Serve it until the end of the block."""

    with listening(answering(lambda request: (200, api.answer(request.method, request.path)))) as address:
        api.port = int(address.rpartition(":")[2])
        yield
