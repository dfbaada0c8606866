"""The services of a fake machine, each with the bytes with which its protocol reports that it is ready."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field

_HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"
_READY = {
    "postgres": b"R\0\0\0\x08\0\0\0\x05",
    "kafka": b"\0\0\0\x06\0\0\0\1\0\0",
    "connect": _HTTP,
    "thrift": b"",
    "spark_connect": b"\0\0\0\4\0\0\0\0\0",
}
ROLES = {"source": ("postgres", "kafka", "connect"), "spark": ("thrift", "spark_connect")}


@dataclass
class Guest:
    """The services of one machine, on free local ports; `events` receives one line per event."""

    name: str
    role: str
    events: list[str]
    is_broken: bool = False
    ports: dict[str, int] = field(default_factory=dict)
    _sockets: dict[str, socket.socket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Bound from the start to reserve the port; connections are refused until it listens.
        for service in ROLES[self.role]:
            self._sockets[service] = _bound(0)
            self.ports[service] = self._sockets[service].getsockname()[1]

    def close(self) -> None:
        """Release the ports."""
        for listener in self._sockets.values():
            listener.close()

    def entered(self, status: str) -> None:
        """Follow the machine's state: boot when it runs, drain land on a graceful stop, close all sockets when it is off."""
        if status == "RUNNING" and not self.is_broken:
            self._boot()
        elif status == "PENDING_STOP" and self.role == "spark":
            self.events.append("land drained")
        elif status in ("STOPPING", "TERMINATED"):
            self._shut_down()
        if status in ("RUNNING", "TERMINATED"):
            self.events.append(f"{self.name} {status}")

    def _boot(self) -> None:
        for service, listener in self._sockets.items():
            listener.listen()
            threading.Thread(target=_serve, args=(listener, _READY[service]), daemon=True).start()

    def _shut_down(self) -> None:
        for service, listener in self._sockets.items():
            with suppress(OSError):  # not listening
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            self._sockets[service] = _bound(self.ports[service])


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _serve(listener: socket.socket, response: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            if response:
                connection.recv(1024)
                connection.sendall(response)
