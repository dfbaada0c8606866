"""Fake of a chat webhook: an address that accepts JSON messages and keeps their texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.serving import Request, answering, serving


@dataclass
class Chat:
    """The webhook's address, the texts received, and the status of its responses."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    status: int = 200


@contextmanager
def listening() -> Iterator[Chat]:
    """A chat on a free port, until the end of the block."""
    chat = Chat()

    def take(request: Request) -> tuple[int, None]:
        chat.texts.append(json.loads(request.body)["text"])
        return chat.status, None

    with serving(answering(take)) as address:
        chat.url = f"{address}/hook"
        yield chat
