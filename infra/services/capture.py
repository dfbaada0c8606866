"""Capture: preparation of the source, the connector, and the end of its first snapshot."""

from infra.services.step import OneShot, python

STEPS = (
    OneShot(
        name="capture",
        doc="Publication, checks of the source, and the connector.",
        command=python("-m", "lakehouse", "capture", "apply"),
        # Not the catalog: the command itself waits for the tables of a new lake.
        after=("connect", "databases", "shop-seed"),
        limit_s=400,
    ),
    OneShot(
        name="snapshot",
        doc="The first snapshot of the source is complete.",
        command=python("-m", "lakehouse", "capture", "wait-snapshot"),
        after=("capture",),
        # The snapshot of a user's own source may take hours, and no other step depends on it.
        is_wanted=lambda settings: not settings.source_dsn,
        limit_s=600,
    ),
)
