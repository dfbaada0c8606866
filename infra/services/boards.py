"""The boards' page."""

from __future__ import annotations

from infra.services import probing
from infra.services.step import Service, python
from lakehouse.settings import Settings


def answers(settings: Settings) -> None:
    """The page answers."""
    probing.page(f"{settings.boards_url}/health")


STEPS = (
    Service(
        name="boards",
        doc="The boards' page, over the lake's files.",
        command=python("-m", "dashboards.boards"),
        probe=answers,
        memory_mb=lambda settings: 400,
        url=lambda settings: settings.boards_page,
        host="boards_host",
        published=("boards_port",),
        after=("databases",),
        folders=("lake",),
    ),
)
