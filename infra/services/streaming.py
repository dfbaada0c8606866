"""The streaming apps of `lakehouse.verbs`, one service each."""

from __future__ import annotations

from functools import partial

from infra.services import probing
from infra.services.step import Service
from lakehouse.settings import Settings
from lakehouse.spark import streaming, submit
from lakehouse.verbs import STREAMING, StreamingApp


def _has_reported(app: StreamingApp, settings: Settings) -> None:
    """It has polled Kafka since this start, and committed a first batch if there were records."""
    probing.reported_since_start(settings, app.name, streaming.report_file(settings, app.name))


def _service(app: StreamingApp) -> Service:
    return Service(
        name=app.name,
        doc=app.doc,
        command=lambda settings: submit.command(settings, app.name),
        environment=submit.environment,
        probe=partial(_has_reported, app),
        memory_mb=lambda settings: app.heap_mb(settings) + 256 + 400,
        url=app.target,
        # Not the capture: the app waits for the first record itself.
        after=("catalog", "topics", *(("redis", "s3") if app.is_live else ())),
        is_live=app.is_live,
        folders=("lake", "control"),
        limit_s=400,
        # After a stop request it finishes its batch; after a signal alone it may have to land one again.
        restart="on-failure",
        stop_request=lambda settings: streaming.stop_file(settings, app.name),
        stop_s=20,
    )


STEPS = tuple(_service(app) for app in STREAMING.values())
