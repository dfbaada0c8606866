"""Capture: preparation of the source, the connector, and the end of its first snapshot."""

from infra.services.step import OneShot, python

STEPS = (
    OneShot(
        name="capture",
        doc="Publication, checks of the source, and the connector.",
        command=python("-m", "lakehouse", "capture", "apply"),
        # Not the catalog: a lake that is there already is enough, and a new one is waited for.
        after=("connect", "databases", "shop-seed"),
        limit_s=400,
    ),
    OneShot(
        name="snapshot",
        doc="The first snapshot of the source is complete.",
        command=python("-m", "lakehouse", "capture", "wait-snapshot"),
        after=("capture",),
        # Of a source of one's own it may take hours, and nothing here waits for it.
        is_wanted=lambda settings: not settings.source_dsn,
        limit_s=600,
    ),
)
