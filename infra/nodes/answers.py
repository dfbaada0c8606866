"""Readiness of a machine's services by their own protocols, because an open port may belong to one that is still starting.

Standard library only, and no passwords: Airflow's machine has none of the source's.
"""

from __future__ import annotations

import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Callable

from infra.nodes import Node
from lakehouse.errors import NotReadyError
from lakehouse.settings import Settings

_TIMEOUT_S = 5
_Probe = Callable[[str, int], None]


def missing(settings: Settings, node: Node) -> list[str]:
    """One line per service of that machine that does not respond yet: its name, its address and what was observed."""
    return [line for line in (_problem(node, *service) for service in _services(settings)[node.role]) if line]


def _services(settings: Settings) -> dict[str, tuple[tuple[str, _Probe, int], ...]]:
    return {
        "source": (
            ("Postgres", _postgres, settings.postgres_port),
            ("Kafka", _kafka, settings.kafka_port),
            ("Kafka Connect", _connect, settings.connect_port),
        ),
        "spark": (("the Thrift Server", _listens, settings.thrift_port), ("Spark Connect", _grpc, settings.spark_connect_port)),
    }


def _problem(node: Node, name: str, probe: _Probe, port: int) -> str | None:
    try:
        probe(node.address, port)
    except (NotReadyError, OSError) as error:
        return f"{name} at {node.address}:{port}: {error}"
    return None


def _postgres(host: str, port: int) -> None:
    """Expect an authentication request, which Postgres sends only once it accepts connections."""
    parameters = b"user\0ebap\0database\0postgres\0\0"
    answer = _exchange(host, port, struct.pack(">ii", 8 + len(parameters), 196608) + parameters, 1)
    if answer != b"R":
        raise NotReadyError("it does not accept connections yet")


def _kafka(host: str, port: int) -> None:
    """Expect a response to ApiVersions."""
    request = struct.pack(">hhih", 18, 0, 1, -1)  # ApiVersions, version 0, correlation id 1, no client id
    answer = _exchange(host, port, struct.pack(">i", len(request)) + request, 8)
    if answer[4:] != struct.pack(">i", 1):
        raise NotReadyError("it does not speak Kafka's protocol yet")


def _connect(host: str, port: int) -> None:
    """Expect the list of connectors, which the REST interface returns only once the worker has joined its group."""
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{host}:{port}/connectors", timeout=_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        raise NotReadyError(f"HTTP {error.code}") from None


def _listens(host: str, port: int) -> None:
    """Expect an open port: HiveServer2 opens it last."""
    _exchange(host, port, b"", 0)


def _grpc(host: str, port: int) -> None:
    """Expect an HTTP/2 SETTINGS frame, type 4."""
    answer = _exchange(host, port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 9)
    if answer[3:4] != b"\4":
        raise NotReadyError("it does not speak HTTP/2 yet")


def _exchange(host: str, port: int, request: bytes, size: int) -> bytes:
    with socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(request)
        answer = b""
        while len(answer) < size:
            more = connection.recv(size - len(answer))
            if not more:
                raise NotReadyError("it closed the connection without an answer")
            answer += more
    return answer
