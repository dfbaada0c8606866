"""Fake of Google's Compute API: instances that start and stop through operations, with the errors of the real API.

One port accepts plain HTTP (for gcloud) and, as a proxy, CONNECT to compute.googleapis.com with a self-signed certificate, so that an
unmodified client reaches it through HTTPS_PROXY and HTTPLIB2_CA_CERTS.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from tests.serving import JsonHandler, Request
from tests.serving import serving as listening

HOST = "compute.googleapis.com"
_ROOT = f"https://{HOST}/compute/v1"
_PATH = re.compile(
    r"/compute/v1/projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/(?P<kind>instances|operations)/(?P<name>[^/]+)(/(?P<verb>\w+))?"
)
_PENDING_S, _RUNNING_S = 0.2, 0.2


@dataclass
class Machine:
    """An instance; `on_change` is called with every state it enters."""

    name: str
    status: str = "TERMINATED"
    graceful_s: int = 120
    is_spot: bool = False
    on_change: Callable[[str], None] = lambda status: None

    def enter(self, status: str) -> None:
        if status != self.status:
            self.status = status
            self.on_change(status)


@dataclass
class Fault:
    """An injected fault: an HTTP error, or an operation that ends in an error; `left` times."""

    verb: str
    name: str
    status: int = 0
    code: str = ""
    text: str = ""
    left: int = 1_000_000


@dataclass
class Operation:
    """An accepted call: PENDING, then RUNNING, then DONE."""

    name: str
    verb: str
    machine: Machine
    began: float = field(default_factory=time.monotonic)
    is_stuck: bool = False
    error: Fault | None = None
    status: str = "PENDING"


@dataclass
class Cloud:
    """The machines, the calls received, and the injected faults."""

    project: str
    zone: str
    machines: dict[str, Machine]
    port: int = 0
    calls: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    is_stuck: bool = False
    operations: dict[str, Operation] = field(default_factory=dict)
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    def states(self) -> dict[str, str]:
        """The state of every machine."""
        with self.lock:
            return {name: machine.status for name, machine in self.machines.items()}

    def refuse(self, verb: str, name: str, status: int, text: str, times: int = 1_000_000) -> None:
        """Respond to that call with an HTTP error."""
        self.faults.append(Fault(verb, name, status=status, text=text, left=times))

    def fail(self, verb: str, name: str, code: str, text: str, times: int = 1_000_000) -> None:
        """Accept that call, and end its operation with an error."""
        self.faults.append(Fault(verb, name, code=code, text=text, left=times))

    def preempt(self, name: str) -> None:
        """Preempt a Spot machine."""
        with self.lock:
            self.machines[name].enter("STOPPING")
            self.machines[name].enter("TERMINATED")

    def answer(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body of one request."""
        with self.lock:
            found = _PATH.fullmatch(path.split("?")[0])
            if not found or found["project"] != self.project or found["zone"] != self.zone:
                return _refusal(404, f"The resource '{path}' was not found", "notFound")
            self._advance()
            if found["kind"] == "operations":
                return 200, self._operation(self.operations[found["name"]])
            return self._instance(method, found["name"], found["verb"] or "get")

    def _instance(self, method: str, name: str, verb: str) -> tuple[int, dict[str, Any]]:
        self.calls.append(f"{verb} {name}")
        machine, fault = self.machines.get(name), self._take_fault(verb, name)
        if fault and fault.status:
            return _refusal(fault.status, fault.text, {403: "forbidden", 429: "rateLimitExceeded"}.get(fault.status, "backendError"))
        if machine is None:
            return _refusal(404, f"The resource 'projects/{self.project}/zones/{self.zone}/instances/{name}' was not found", "notFound")
        if verb == "get":
            return 200, self._resource(machine)
        operation = Operation(f"operation-{next(self._ids)}", verb, machine, is_stuck=self.is_stuck, error=fault)
        self.operations[operation.name] = operation
        return 200, self._operation(operation)

    def _take_fault(self, verb: str, name: str) -> Fault | None:
        for fault in self.faults:
            if (fault.verb, fault.name) == (verb, name) and fault.left > 0:
                fault.left -= 1
                return fault
        return None

    def _advance(self) -> None:
        """Advance operations to the current time; those of one machine run one after the other."""
        every = list(self.operations.values())
        for place, operation in enumerate(every):
            waits = any(o.machine is operation.machine and o.status != "DONE" for o in every[:place])
            if operation.status == "DONE" or waits or (operation.is_stuck and self.is_stuck):
                continue
            self._work(operation)

    def _work(self, operation: Operation) -> None:
        machine, passed = operation.machine, time.monotonic() - operation.began
        if passed >= _PENDING_S and operation.status == "PENDING":
            operation.status = "RUNNING"
            if not operation.error:
                self._begin(operation.verb, machine)
        elif passed >= _PENDING_S + _RUNNING_S and operation.status == "RUNNING":
            operation.status = "DONE"
            if not operation.error:
                machine.enter("RUNNING" if operation.verb == "start" else "TERMINATED")

    def _begin(self, verb: str, machine: Machine) -> None:
        if verb == "start" and machine.status != "RUNNING":
            machine.enter("STAGING")
        if verb == "stop" and machine.status != "TERMINATED":
            machine.enter("PENDING_STOP" if machine.graceful_s else "STOPPING")

    def _resource(self, machine: Machine) -> dict[str, Any]:
        graceful = {"enabled": bool(machine.graceful_s), "maxDuration": {"seconds": str(machine.graceful_s)}}
        link = f"{_ROOT}/projects/{self.project}/zones/{self.zone}"
        return {
            "kind": "compute#instance",
            "id": "1",
            "name": machine.name,
            "status": machine.status,
            "zone": link,
            "machineType": f"{link}/machineTypes/e2-standard-2",
            "selfLink": f"{link}/instances/{machine.name}",
            "networkInterfaces": [{"kind": "compute#networkInterface", "name": "nic0", "networkIP": "10.0.0.2"}],
            "scheduling": {"provisioningModel": "SPOT" if machine.is_spot else "STANDARD", "gracefulShutdown": graceful},
        }

    def _operation(self, operation: Operation) -> dict[str, Any]:
        link = f"{_ROOT}/projects/{self.project}/zones/{self.zone}"
        resource: dict[str, Any] = {
            "kind": "compute#operation",
            "id": operation.name.rpartition("-")[2],
            "name": operation.name,
            "operationType": operation.verb,
            "status": operation.status,
            "progress": 100 if operation.status == "DONE" else 0,
            "zone": link,
            "insertTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "selfLink": f"{link}/operations/{operation.name}",
            "targetLink": f"{link}/instances/{operation.machine.name}",
        }
        if operation.error and operation.status == "DONE":
            resource |= {"httpErrorStatusCode": 503, "httpErrorMessage": "SERVICE UNAVAILABLE"}
            resource["error"] = {"errors": [{"code": operation.error.code, "message": operation.error.text}]}
        return resource


def _refusal(status: int, text: str, reason: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"code": status, "message": text, "errors": [{"message": text, "domain": "global", "reason": reason}]}}


@contextmanager
def serving(cloud: Cloud, context: ssl.SSLContext) -> Iterator[None]:
    """Serve the fake until the end of the block, with that context's certificate."""

    class Handler(JsonHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, request: Request) -> tuple[int, Any]:
            status, body = cloud.answer(request.method, request.path)
            cloud.bodies.append((request.path, body))
            return status, body

        def do_CONNECT(self) -> None:  # noqa: N802  the name http.server calls
            if self.path != f"{HOST}:443":
                self.send_error(502, f"{self.path} is not reachable in a test")
                return
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
            self.close_connection = False

    with listening(Handler) as address:
        cloud.port = int(address.rpartition(":")[2])
        yield
