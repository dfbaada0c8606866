"""Airflow's API as tasks ask it: a login, the runs that are active, and runs on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class AirflowApi:
    """The runs that are active, and what triggering a DAG does: its states by task."""

    active: list[tuple[str, str]] = field(default_factory=list)
    trigger: Callable[[str], dict[str, str]] = lambda dag_id: {}
    port: int = 0
    triggered: list[str] = field(default_factory=list)
    _states: dict[str, str] = field(default_factory=dict)

    def answer(self, method: str, path: str) -> dict[str, Any]:
        """The body of one answer."""
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

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = json.dumps(api.answer(self.command, self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _handle  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
