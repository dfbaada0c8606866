"""A chat tool as alerts see one: an address that takes JSON messages and keeps their texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.serving import Request, answering, serving


@dataclass
class Chat:
    """Its address, the texts it was sent, and the status it answers with."""

    url: str = ""
    texts: list[str] = field(default_factory=list)
    status: int = 200


@contextmanager
def listening() -> Iterator[Chat]:
    """A chat on a port of its own, until the end of the block."""
    chat = Chat()

    def take(request: Request) -> tuple[int, None]:
        chat.texts.append(json.loads(request.body)["text"])
        return chat.status, None

    with serving(answering(take)) as address:
        chat.url = f"{address}/hook"
        yield chat
