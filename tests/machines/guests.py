"""What runs on a fake machine: the services of its role, each with the sentence of its protocol that says it is ready."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field

_HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"
_SENTENCES = {
    "postgres": b"R\0\0\0\x08\0\0\0\x05",
    "kafka": b"\0\0\0\x06\0\0\0\1\0\0",
    "connect": _HTTP,
    "thrift": b"",
    "spark_connect": b"\0\0\0\4\0\0\0\0\0",
}
ROLES = {"source": ("postgres", "kafka", "connect"), "spark": ("thrift", "spark_connect")}


@dataclass
class Guest:
    """The services of one machine, on free ports of this one; `events` gets a line for what happens to them."""

    name: str
    role: str
    events: list[str]
    is_broken: bool = False
    ports: dict[str, int] = field(default_factory=dict)
    _sockets: dict[str, socket.socket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Bound from the start, so that nobody else gets the port; it refuses connections until it listens.
        for service in ROLES[self.role]:
            self._sockets[service] = _bound(0)
            self.ports[service] = self._sockets[service].getsockname()[1]

    def close(self) -> None:
        """Give the ports back."""
        for listener in self._sockets.values():
            listener.close()

    def entered(self, status: str) -> None:
        """Follow the machine: boot where it runs, drain land where it is stopped gracefully, cut all off where it is gone."""
        if status == "RUNNING" and not self.is_broken:
            self._boot()
        elif status == "PENDING_STOP" and self.role == "spark":
            self.events.append("land drained")
        elif status in ("STOPPING", "TERMINATED"):
            self._cut()
        if status in ("RUNNING", "TERMINATED"):
            self.events.append(f"{self.name} {status}")

    def _boot(self) -> None:
        for service, listener in self._sockets.items():
            listener.listen()
            threading.Thread(target=_serve, args=(listener, _SENTENCES[service]), daemon=True).start()

    def _cut(self) -> None:
        for service, listener in self._sockets.items():
            with suppress(OSError):  # it did not listen
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            self._sockets[service] = _bound(self.ports[service])


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def _serve(listener: socket.socket, sentence: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            if sentence:
                connection.recv(1024)
                connection.sendall(sentence)
