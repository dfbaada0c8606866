"""A small HTTP server of a test's own, in a thread, on a free port of this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: Message
    body: bytes


# The status and what the body is as JSON.
Answer = Callable[[Request], tuple[int, Any]]


class JsonHandler(BaseHTTPRequestHandler):
    """Answers every request in JSON."""

    def answer(self, request: Request) -> tuple[int, Any]:
        """Status and body."""
        raise NotImplementedError

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answered = self.answer(Request(self.command, self.path, self.headers, body))
        data = json.dumps(answered).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _handle  # noqa: N815  the names http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def answering(answer: Answer) -> type[JsonHandler]:
    """The handler that answers so."""

    class Handler(JsonHandler):
        def answer(self, request: Request) -> tuple[int, Any]:
            return answer(request)

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error."""


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve until the end of the block; the address."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
