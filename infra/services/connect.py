"""The Connect worker, which runs the connector."""

from __future__ import annotations

from infra.services import kafka, probing
from infra.services.step import Service
from lakehouse.settings import Settings

_SETTINGS = "connect.properties"


def command(settings: Settings) -> list[str]:
    """The worker's command line."""
    worker = "org.apache.kafka.connect.cli.ConnectDistributed"
    return kafka.java(settings, settings.connect_heap_mb, worker, str(kafka.conf(settings, _SETTINGS)))


def prepare(settings: Settings) -> None:
    """Write the worker's settings file."""
    kafka.write(settings, _SETTINGS, _SETTINGS, kafka.data_dir(settings))


def answers(settings: Settings) -> None:
    """The REST interface answers, which requires that the worker has joined its group."""
    probing.page(f"{settings.connect_url}/connectors")


STEPS = (
    Service(
        name="connect",
        doc="The worker that runs the capture.",
        command=command,
        prepare=prepare,
        probe=answers,
        memory_mb=lambda settings: settings.connect_heap_mb + kafka.DIRECT_MB + 200,
        url=lambda settings: settings.connect_url,
        host="connect_host",
        after=("topics", "passwords"),
        limit_s=300,
    ),
)
