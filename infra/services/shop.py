"""The simulated shop: tables, first rows and traffic; not run with a source of your own."""

from __future__ import annotations

from generator.clicks.events import EVENTS_TOPIC
from infra.services import probing
from infra.services.step import OneShot, Service, python
from lakehouse.settings import Settings


def _is_simulated(settings: Settings) -> bool:
    return not settings.source_dsn


def clicks_report(settings: Settings) -> None:
    """The clicks have reported since this start; they may wait for Kafka."""
    probing.reported_since_start(settings, "clicks", settings.control_dir / "clicks.status.json")


def generator_reports(settings: Settings) -> None:
    """The generator has reported since this start."""
    probing.reported_since_start(settings, "generator", settings.control_dir / "generator.status.json")


STEPS = (
    OneShot(
        name="shop-schema",
        doc="The shop's tables, in place of another team's database.",
        command=python("-m", "generator", "schema"),
        after=("databases",),
        is_wanted=_is_simulated,
    ),
    OneShot(
        name="shop-seed",
        doc="The shop's first users and products.",
        command=python("-m", "generator", "seed"),
        after=("shop-schema",),
        is_wanted=_is_simulated,
        limit_s=400,
    ),
    Service(
        name="generator",
        doc="The simulated shop's traffic.",
        command=python("-m", "generator", "run"),
        probe=generator_reports,
        memory_mb=lambda settings: 300,
        url=lambda settings: f"postgresql://{settings.public_host}:{settings.postgres_port}/shop",
        after=("snapshot",),
        is_wanted=_is_simulated,
        folders=("control",),
        limit_s=60,
    ),
    Service(
        name="clicks",
        doc="The simulated visits: clicks and telemetry.",
        command=python("-m", "generator", "clicks"),
        probe=clicks_report,
        memory_mb=lambda settings: 200,
        url=lambda settings: f"kafka://{settings.kafka_bootstrap}/{EVENTS_TOPIC}",
        after=("generator",),
        is_live=True,
        is_wanted=_is_simulated,
        folders=("control",),
        limit_s=60,
    ),
)
